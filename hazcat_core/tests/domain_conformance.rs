//! The suite of memory domains, run against each that is built in; and what only the simulated device promises.

use hazcat_core::domain::registry::resolve;

hazcat_core::domain_conformance!(host, resolve("host"));
hazcat_core::domain_conformance!(simulated, resolve("sim:0"));
// On a machine without a GPU this shows that it says so; `tests/cuda` runs the suite there all the same.
#[cfg(feature = "cuda")]
hazcat_core::domain_conformance!(cuda, resolve("cuda:0"));

mod only_simulated {
    use hazcat_core::domain::conformance::Bench;
    use hazcat_core::domain::registry::resolve;
    use hazcat_core::domain::simulated::{self, SimulatedDevice, Trouble};
    use hazcat_core::domain::CopyError;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;
    use std::time::{Duration, Instant};

    fn bench(number: u32) -> Bench {
        Bench::new(resolve(&format!("sim:{number}")).expect("always there"))
    }

    /// Not a test: what dies of touching device memory.
    #[test]
    fn child() {
        let Some(root) = std::env::var_os("HAZCAT_TEST_TOUCH") else { return };
        let bench = Bench::on(resolve("sim:40").expect("always there"), root.as_ref());
        let mut allocator = bench.allocator(1 << 20);
        let piece = allocator.allocate(64).expect("room");
        let at = allocator.address(&piece).expect("an address");
        // AddressSanitizer would turn the fault into a report of its own.
        // SAFETY: the default action is to die of it.
        unsafe { libc::signal(libc::SIGSEGV, libc::SIG_DFL) };
        // SAFETY: none: that this faults is what is tested, in a process of its own.
        println!("read {}", unsafe { at.read_volatile() });
    }

    #[test]
    fn host_code_that_touches_its_memory_dies() {
        let bench = bench(40);
        let mut command = Command::new(std::env::current_exe().expect("own path"));
        command.args(["only_simulated::child", "--exact", "--test-threads=1"]).env("HAZCAT_TEST_TOUCH", bench.root());
        let output = command.output().expect("spawn");
        assert_eq!(output.status.signal(), Some(libc::SIGSEGV), "{output:?}");
    }

    #[test]
    fn operations_and_bytes_are_counted() {
        let (bench, device) = (bench(41), SimulatedDevice::get(41).expect("in range"));
        let mut allocator = bench.allocator(1 << 20);
        let (one, other) = (allocator.allocate(1000).expect("room"), allocator.allocate(1000).expect("room"));
        allocator.copy_from(&[1; 700], &one, 0).expect("inside");
        allocator.copy(&one, &other, 600).expect("inside");
        allocator.copy_to(&other, 0, &mut [0; 500]).expect("inside");
        allocator.deallocate(other);
        let counters = device.counters();
        let seen = |transfers: simulated::Transfers| (transfers.operations, transfers.bytes);
        assert_eq!(seen(counters.from_host), (1, 700));
        assert_eq!(seen(counters.within), (1, 600));
        assert_eq!(seen(counters.to_host), (1, 500));
        assert_eq!((counters.allocations, counters.deallocations, counters.in_use()), (2, 1, 1));
    }

    #[test]
    fn code_on_the_device_works_where_the_message_lies() {
        let bench = bench(42);
        let mut allocator = bench.allocator(1 << 20);
        let piece = allocator.allocate(100).expect("room");
        let at = allocator.address(&piece).expect("an address");
        allocator.copy_from(&[3; 100], &piece, 0).expect("inside");
        let double = |bytes: &mut [u8]| bytes.iter_mut().for_each(|byte| *byte *= 2);
        simulated::run(at.wrapping_add(10), 20, double).expect("device memory");
        let mut bytes = [0; 100];
        simulated::read(at, &mut bytes).expect("device memory");
        let doubled = |at: usize| (10..30).contains(&at);
        assert!(bytes.iter().enumerate().all(|(at, byte)| *byte == if doubled(at) { 6 } else { 3 }));
        let host = [0u8; 4];
        assert!(!simulated::contains(host.as_ptr()));
        assert!(matches!(simulated::read(host.as_ptr(), &mut [0; 4]), Err(CopyError::Bounds { .. })));
        // What others made can be read only.
        let remap = bench.domain().remap(
            &bench.folder(),
            allocator.share(piece.segment).expect("in use"),
            Bench::owner().word(),
        );
        let remote = remap.expect("there");
        let theirs = remote.address(piece.byte_offset(), 100).expect("inside");
        assert_eq!(simulated::write(theirs.cast_mut(), &[0]), Err(CopyError::ReadOnly));
    }

    #[test]
    fn trouble_is_had_as_ordered() {
        let (bench, device) = (bench(43), SimulatedDevice::get(43).expect("in range"));
        let mut allocator = bench.allocator(1 << 20);
        let piece = allocator.allocate(8).expect("room");
        device.set_trouble(Trouble { failing_copies: 2, ..Trouble::default() });
        for _ in 0..2 {
            let error = allocator.copy_from(&[1; 8], &piece, 0).expect_err("ordered");
            assert_eq!(error.to_string(), "sim:43: copy from host: SIM_ERROR_ORDERED");
        }
        allocator.copy_from(&[1; 8], &piece, 0).expect("the third one works");
        device.set_trouble(Trouble { copy_delay: Duration::from_millis(30), ..Trouble::default() });
        let began = Instant::now();
        allocator.copy_to(&piece, 0, &mut [0; 8]).expect("slow, not failing");
        assert!(began.elapsed() >= Duration::from_millis(30));
    }
}
