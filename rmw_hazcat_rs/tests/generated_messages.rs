//! Every generated message, in C and in C++: of this package (`HAZCAT_TEST_INTERFACES_PREFIX`), and
//! of test_msgs where ROS 2 is sourced.

mod common;

use common::generated::{Package, MESSAGES, SERVICES, TEST_MSGS};
use common::random::{rounds, Random};
use common::value::{Value, HIGH_FIRST};
use common::{memory, Message};
use rmw_hazcat_rs::cdr::CdrError;
use rmw_hazcat_rs::typesupport::{Language, MessageType};

fn packages() -> Vec<(Package, &'static [&'static str])> {
    let own = Package::own().map(|package| (package, &MESSAGES[..]));
    let test_msgs = Package::test_msgs().map(|package| (package, &TEST_MSGS[..]));
    own.into_iter().chain(test_msgs).collect()
}

/// Writes and reads in C, then the same bytes through C++.
fn check(c: &MessageType, cpp: &MessageType, value: &Value, used: &mut [Message<'_>; 2]) {
    let name = c.ros_name();
    let expected = value.little_endian();
    HIGH_FIRST.set(true);
    let big_endian = value.big_endian();
    HIGH_FIRST.set(false);

    let message = Message::new(c);
    memory::write(c, message.memory, value);
    assert_eq!(message.bytes().unwrap(), expected, "{name} in C");
    for kind in [c, cpp] {
        for bytes in [&expected, &big_endian] {
            let mut message = Message::new(kind);
            message.read(bytes).unwrap();
            assert_eq!(message.bytes().unwrap(), expected, "{name} through {:?}", kind.language());
            if kind.language() == Language::C {
                assert_eq!(&memory::read(kind, message.memory), value);
            }
        }
    }
    // Into messages that hold something else.
    for message in used {
        message.read(&expected).unwrap();
        assert_eq!(message.bytes().unwrap(), expected, "{name} over another");
    }
}

#[test]
fn every_message_makes_the_round_trip_in_c_and_cpp() {
    let mut random = Random::new("generated messages");
    let mut checked = 0;
    for (package, names) in packages() {
        for name in names {
            let [c, cpp] = package.message(name);
            assert_eq!((c.language(), cpp.language()), (Language::C, Language::Cpp));
            assert_eq!(c.ros_name(), cpp.ros_name());
            assert!(c.ros_name().ends_with(&format!("/msg/{name}")), "{}", c.ros_name());
            assert_eq!(c.structural_hash(), cpp.structural_hash(), "{name}");
            assert_eq!(c.is_plain(), cpp.is_plain(), "{name}");
            assert_eq!(c.max_serialized_size(), cpp.max_serialized_size(), "{name}");
            assert_eq!(c.type_hash(), cpp.type_hash(), "{name}");

            // The same default values in both languages.
            assert_eq!(Message::new(&c).bytes().unwrap(), Message::new(&cpp).bytes().unwrap(), "{name}");

            // The reference takes the large ones byte by byte.
            let repeat = if c.size_of() > 1 << 20 { 1 } else { rounds(60) };
            let mut used = [Message::new(&c), Message::new(&cpp)];
            for _ in 0..repeat {
                let value = Value::random(&c, &mut random);
                check(&c, &cpp, &value, &mut used);
            }
            checked += 1;
        }
    }
    println!("{checked} messages");
}

#[test]
fn plain_messages_are_the_same_struct_in_c_and_cpp() {
    let Some(package) = Package::own() else { return };
    let plain: Vec<&str> = MESSAGES.into_iter().filter(|name| package.message(name)[0].is_plain()).collect();
    let expected = [
        "Constants",
        "Defaults",
        "Empty",
        "Fixed1k",
        "Fixed1m",
        "Fixed64k",
        "Fixed8k",
        "Fixed8m",
        "Nested",
        "PlainArrays",
        "Primitives",
        "Stamp",
    ];
    assert_eq!(plain, expected);
    let mut random = Random::new("plain messages");
    for name in plain {
        let [c, cpp] = package.message(name);
        assert_eq!(c.size_of(), cpp.size_of(), "{name}");
        let value = Value::random(&c, &mut random);
        let message = Message::new(&c);
        memory::write(&c, message.memory, &value);
        // The bytes of the C struct, taken for a C++ message.
        let copy = Message::new(&cpp);
        // SAFETY: both have room for the struct, which owns nothing.
        unsafe { std::ptr::copy_nonoverlapping(message.memory.cast::<u8>(), copy.memory.cast(), c.size_of()) };
        assert_eq!(copy.bytes().unwrap(), value.little_endian(), "{name}");
    }
}

#[test]
fn types_that_differ_have_different_hashes() {
    let Some(package) = Package::own() else { return };
    let mut seen = std::collections::HashMap::new();
    for name in MESSAGES {
        let hash = package.message(name)[0].structural_hash();
        if let Some(other) = seen.insert(hash, name) {
            panic!("{name} and {other} have the same hash");
        }
    }
}

#[test]
fn services_are_read_in_c_and_cpp() {
    let Some(package) = Package::own() else { return };
    for name in SERVICES {
        let [c, cpp] = package.service(name);
        assert_eq!(c.ros_name(), format!("rmw_hazcat_rs/srv/{name}"));
        assert_eq!(c.ros_name(), cpp.ros_name());
        assert_eq!(c.request().ros_name(), format!("rmw_hazcat_rs/srv/{name}_Request"));
        assert_eq!(c.response().ros_name(), format!("rmw_hazcat_rs/srv/{name}_Response"));
        assert_eq!(c.structural_hash(), cpp.structural_hash());
        assert_eq!(c.type_hash(), cpp.type_hash());
        assert_eq!(c.type_hash().is_some(), cfg!(rosidl_type_hash));
        assert_eq!(c.event().is_some(), cfg!(rosidl_service_event));
        let mut random = Random::new(name);
        for (c, cpp) in [(c.request(), cpp.request()), (c.response(), cpp.response())] {
            let mut used = [Message::new(c), Message::new(cpp)];
            for _ in 0..20 {
                let value = Value::random(c, &mut random);
                check(c, cpp, &value, &mut used);
            }
        }
    }
}

/// A vector that is long enough keeps its memory, one that is not gets exactly one new piece.
#[test]
fn a_cpp_vector_is_reused() {
    let Some(package) = Package::own() else { return };
    let [_, cpp] = package.message("Bytes");
    let mut message = Message::new(&cpp);
    let bytes = |len: u32| {
        let mut bytes = vec![0, 1, 0, 0];
        bytes.extend(len.to_le_bytes());
        bytes.extend((0..len).map(|i| i as u8));
        bytes
    };
    message.read(&bytes(1 << 20)).unwrap();
    // SAFETY: the message is one vector: begin, end, end of capacity.
    let before = unsafe { *message.memory.cast::<[usize; 3]>() };
    for len in [1 << 20, 5, 0, 1 << 19] {
        message.read(&bytes(len)).unwrap();
        // SAFETY: as above.
        let after = unsafe { *message.memory.cast::<[usize; 3]>() };
        assert_eq!(after, [before[0], before[0] + len as usize, before[2]]);
        assert_eq!(message.bytes().unwrap(), bytes(len));
    }
}

/// Sets the limit of this process's address space, by default to what it has. Answers the former one.
fn limit_memory(limit: Option<libc::rlimit>) -> libc::rlimit {
    let mut former = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a place for the answer.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_AS, &mut former) }, 0);
    let limit = limit.unwrap_or_else(|| {
        let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
        let pages: libc::rlim_t = pages.split(' ').next().unwrap().parse().unwrap();
        // SAFETY: no requirements.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        libc::rlimit { rlim_cur: pages * page as libc::rlim_t, ..former }
    });
    // SAFETY: a whole limit.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &limit) }, 0);
    former
}

/// A short stream can ask for a vector of many times its size. That is an error, and no exception that ends the process.
/// In a process of its own, which is left without memory.
#[test]
fn a_sequence_without_memory_is_an_error() {
    const CHILD: &str = "HAZCAT_TEST_WITHOUT_MEMORY";
    let Some(package) = Package::own() else { return };
    if std::env::var_os(CHILD).is_none() {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "a_sequence_without_memory_is_an_error", "--nocapture"]).env(CHILD, "1");
        let output = child.output().unwrap();
        assert!(output.status.success(), "{}: {}", output.status, String::from_utf8_lossy(&output.stderr));
        return;
    }
    for kind in &package.message("UnboundedSequences") {
        let mut message = Message::new(kind);
        let expected = message.bytes().unwrap();
        // Elements of zeros: booleans, numbers, texts; how many empty sequences come first. Each needs more than the 64 MiB
        // that the allocator keeps for a thread.
        for (before, elements, each) in [(0, 640 << 20, 1), (3, 20 << 20, 4), (13, 8 << 20, 4), (14, 8 << 20, 4)] {
            let mut stream = vec![0; 4 + 4 * before + 4 + elements * each];
            stream[1] = 1;
            stream[4 + 4 * before..][..4].copy_from_slice(&u32::try_from(elements).unwrap().to_le_bytes());
            let former = limit_memory(None);
            let result = message.read(&stream);
            limit_memory(Some(former));
            let error = result.unwrap_err();
            assert!(matches!(error, CdrError::NoMemory(_)), "{:?}, field {before}: {error}", kind.language());
            // It can be written, read into and freed.
            message.bytes().unwrap();
            message.read(&expected).unwrap();
            assert_eq!(message.bytes().unwrap(), expected);
        }
    }
}

/// What rcl passes is a dispatching handle, which leads to the same type.
#[test]
fn dispatching_handles_lead_to_the_introspection() {
    for (package, names) in packages() {
        if !package.has_dispatch() {
            println!("skipped: no dispatching type support");
            continue;
        }
        for name in names {
            let direct = package.message(name);
            for (handle, direct) in package.dispatch_handles(name).into_iter().zip(direct) {
                // SAFETY: a generated handle of a library that is never closed.
                let kind = unsafe { MessageType::from_handle(handle) }.unwrap();
                assert_eq!(kind.structural_hash(), direct.structural_hash());
                assert_eq!(kind.language(), direct.language());
                assert_eq!(kind.type_hash(), direct.type_hash());
                assert_eq!(kind.type_hash().is_some(), cfg!(rosidl_type_hash));
                // SAFETY: as above.
                let known = [(); 2].map(|()| unsafe { MessageType::known(handle) }.unwrap());
                assert!(std::sync::Arc::ptr_eq(&known[0], &known[1]), "{name} is read once");
                assert_eq!(known[0].structural_hash(), direct.structural_hash());
                assert_eq!((known[0].language(), known[0].type_hash()), (direct.language(), direct.type_hash()));
            }
        }
    }
}
