//! Sockets with names in a folder, over which descriptors travel (`SOCK_SEQPACKET`, `SCM_RIGHTS`).
//!
//! Names may be longer than a socket address has room for: a socket is reached through a descriptor of its folder. It appears
//! under its name when it already listens, so one that refuses is one whose process is gone.

use super::fork::ForkGuarded;
use super::shm_file::{FileError, ASIDE};
use nix::errno::Errno;
use nix::poll::{poll, PollFd, PollFlags, PollTimeout};
use nix::sys::socket::{
    self, AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, UnixAddr,
};
use nix::sys::time::TimeVal;
use std::fs::{self, File, Permissions};
use std::io::{IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 64;

fn folder_and_name(path: &Path) -> nix::Result<(File, &str)> {
    let name = path.file_name().and_then(|name| name.to_str()).ok_or(Errno::EINVAL)?;
    let folder = path.parent().ok_or(Errno::EINVAL)?;
    let folder = File::options().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(folder);
    Ok((folder.map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))?, name))
}

fn address(folder: &File, name: &str) -> nix::Result<UnixAddr> {
    UnixAddr::new(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()).as_str())
}

fn new_socket(flags: SockFlag) -> nix::Result<OwnedFd> {
    socket::socket(AddressFamily::Unix, SockType::SeqPacket, flags | SockFlag::SOCK_CLOEXEC, None)
}

/// A socket that others connect to; a forked child does not have it.
pub struct Listener(ForkGuarded<OwnedFd>);

impl Listener {
    /// Listens under a name that is not taken. `mode` is the file's.
    ///
    /// # Errors
    /// What the system answers.
    pub fn new(path: &Path, mode: u32) -> Result<Self, FileError> {
        let listen = || -> nix::Result<OwnedFd> {
            let (folder, name) = folder_and_name(path)?;
            let aside = format!("{ASIDE}{name}");
            let bound = new_socket(SockFlag::empty())?;
            socket::bind(bound.as_raw_fd(), &address(&folder, &aside)?)?;
            let aside = path.with_file_name(aside);
            let ready = fs::set_permissions(&aside, Permissions::from_mode(mode))
                .map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
                .and_then(|()| socket::listen(&bound, Backlog::new(BACKLOG)?))
                .and_then(|()| {
                    fs::rename(&aside, path).map_err(|error| error.raw_os_error().map_or(Errno::EIO, Errno::from_raw))
                });
            if let Err(errno) = ready {
                let _ = fs::remove_file(&aside);
                return Err(errno);
            }
            Ok(bound)
        };
        let listener = ForkGuarded::open(listen).map_err(|errno| FileError::from_io(path, 0, errno.into()))?;
        Ok(Self(listener))
    }

    /// Waits for somebody to connect; `Ok(None)` where nobody did for so long.
    ///
    /// # Errors
    /// What the system answers; `EBADF` in a forked child.
    pub fn accept(&self, patience: Duration) -> nix::Result<Option<OwnedFd>> {
        let listener = self.0.get().map_err(|_| Errno::EBADF)?;
        match wait_for_message(listener.as_fd(), patience) {
            Err(Errno::EAGAIN | Errno::EINTR) => return Ok(None),
            other => other?,
        }
        match socket::accept4(listener.as_raw_fd(), SockFlag::SOCK_CLOEXEC) {
            // SAFETY: a new descriptor, ours alone.
            Ok(descriptor) => Ok(Some(unsafe { OwnedFd::from_raw_fd(descriptor) })),
            Err(Errno::EINTR | Errno::ECONNABORTED | Errno::EAGAIN) => Ok(None),
            Err(errno) => Err(errno),
        }
    }
}

/// Connects to a socket; sending, receiving and connecting take at most `patience` each.
///
/// # Errors
/// `ENOENT` or `ECONNREFUSED` where nobody listens, else what the system answers.
pub fn connect(path: &Path, patience: Duration) -> nix::Result<OwnedFd> {
    let (folder, name) = folder_and_name(path)?;
    let connection = new_socket(SockFlag::empty())?;
    be_patient(connection.as_fd(), patience)?;
    socket::connect(connection.as_raw_fd(), &address(&folder, name)?)?;
    Ok(connection)
}

/// From now on, sending to and receiving from a connection take at most so long.
///
/// # Errors
/// What the system answers.
pub fn be_patient(connection: BorrowedFd<'_>, patience: Duration) -> nix::Result<()> {
    let limit = TimeVal::new(patience.as_secs() as libc::time_t, patience.subsec_micros() as libc::suseconds_t);
    socket::setsockopt(&connection, socket::sockopt::ReceiveTimeout, &limit)?;
    socket::setsockopt(&connection, socket::sockopt::SendTimeout, &limit)
}

/// Waits until there is something to receive, or somebody to accept.
///
/// # Errors
/// `EAGAIN` where there was nothing for so long, else what the system answers.
pub fn wait_for_message(socket: BorrowedFd<'_>, patience: Duration) -> nix::Result<()> {
    let mut wanted = [PollFd::new(socket, PollFlags::POLLIN)];
    match poll(&mut wanted, PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX)) {
        Ok(0) => Err(Errno::EAGAIN),
        other => other.map(drop),
    }
}

/// Whether a socket's process is gone. What cannot be found out is not gone.
pub fn is_abandoned(path: &Path) -> bool {
    let probe = || -> nix::Result<()> {
        let (folder, name) = folder_and_name(path)?;
        let probe = new_socket(SockFlag::SOCK_NONBLOCK)?;
        socket::connect(probe.as_raw_fd(), &address(&folder, name)?)
    };
    probe() == Err(Errno::ECONNREFUSED)
}

/// Sends one message, with a descriptor where one is given.
///
/// # Errors
/// What the system answers. A peer that is gone is `EPIPE`, never a signal.
pub fn send(connection: BorrowedFd<'_>, bytes: &[u8], descriptor: Option<BorrowedFd<'_>>) -> nix::Result<()> {
    let descriptors: Vec<_> = descriptor.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&descriptors)];
    let rights = if descriptors.is_empty() { &[][..] } else { &rights[..] };
    let parts = [IoSlice::new(bytes)];
    let sent = socket::sendmsg::<()>(connection.as_raw_fd(), &parts, rights, MsgFlags::MSG_NOSIGNAL, None)?;
    if sent == bytes.len() {
        Ok(())
    } else {
        Err(Errno::EMSGSIZE)
    }
}

/// Receives one message of exactly `to.len()` bytes, and the descriptor that came with it.
///
/// # Errors
/// What the system answers; `EPROTO` for a message of another length, `EAGAIN` where none came for as long as one is patient.
pub fn receive(connection: BorrowedFd<'_>, to: &mut [u8]) -> nix::Result<Option<OwnedFd>> {
    let expected = to.len();
    let mut space = nix::cmsg_space!([std::os::fd::RawFd; 1]);
    let mut parts = [IoSliceMut::new(to)];
    let flags = MsgFlags::MSG_CMSG_CLOEXEC;
    let message = socket::recvmsg::<()>(connection.as_raw_fd(), &mut parts, Some(&mut space), flags)?;
    let mut descriptors = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(received) = control {
            // SAFETY: new descriptors that the kernel made for this message, ours alone.
            descriptors.extend(received.into_iter().map(|number| unsafe { OwnedFd::from_raw_fd(number) }));
        }
    }
    let cut = message.flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC);
    if message.bytes != expected || cut {
        return Err(Errno::EPROTO);
    }
    Ok(descriptors.pop())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_root::TestRoot;
    use std::io::{Read, Seek, Write};

    #[test]
    fn a_descriptor_travels_and_a_long_name_is_no_obstacle() {
        let root = TestRoot::new();
        let folder = root.path().join("a-folder-with-a-name-that-is-long".repeat(6));
        fs::create_dir(&folder).unwrap();
        let path = folder.join("0123456789abcdef");
        let listener = Listener::new(&path, 0o600).expect("listen");
        assert!(listener.accept(Duration::ZERO).unwrap().is_none(), "nobody is there yet");
        let client = connect(&path, Duration::from_secs(10)).expect("connect");
        let server = listener.accept(Duration::from_secs(10)).unwrap().expect("connected");
        let mut file = File::options().read(true).write(true).create_new(true).open(folder.join("f")).unwrap();
        file.write_all(b"travelled").unwrap();
        send(server.as_fd(), b"here", Some(file.as_fd())).unwrap();
        let mut text = [0; 4];
        let received = receive(client.as_fd(), &mut text).unwrap().expect("a descriptor");
        let mut received = File::from(received);
        received.rewind().unwrap();
        let mut content = String::new();
        received.read_to_string(&mut content).unwrap();
        assert_eq!((&text, content.as_str()), (b"here", "travelled"));
        send(client.as_fd(), b"toolong", None).unwrap();
        assert_eq!(receive(server.as_fd(), &mut [0; 4]).unwrap_err(), Errno::EPROTO);
        be_patient(server.as_fd(), Duration::from_millis(20)).unwrap();
        assert_eq!(receive(server.as_fd(), &mut [0; 4]).unwrap_err(), Errno::EAGAIN);
    }

    #[test]
    fn who_does_not_listen_any_more_is_known() {
        let root = TestRoot::new();
        let path = root.path().join("socket");
        assert!(!is_abandoned(&path), "there is none");
        let listener = Listener::new(&path, 0o600).expect("listen");
        assert!(!is_abandoned(&path));
        drop(listener);
        assert!(path.exists() && is_abandoned(&path));
        assert_eq!(connect(&path, Duration::from_secs(1)).unwrap_err(), Errno::ECONNREFUSED);
    }
}
