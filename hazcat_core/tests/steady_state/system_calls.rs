//! Counts the system calls of a thread, without a tracer.
//!
//! A seccomp filter turns every system call of the thread into SIGSYS. The handler counts it and then makes the call in the
//! thread's place, through the one instruction whose calls the filter lets pass; the thread goes on with the result as if
//! nothing had happened. A filter stays until its thread ends. It needs no privilege (Linux 3.17).

use std::cell::Cell;
use std::sync::Once;

std::thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
    static LAST: Cell<i64> = const { Cell::new(-1) };
}

/// System calls of this thread since [`count_on_this_thread`].
pub fn so_far() -> u64 {
    COUNT.get()
}

/// Number of the last of them; -1 where there was none.
pub fn last() -> i64 {
    LAST.get()
}

// fn hazcat_passing_call(number, six arguments) -> result. The filter knows the address behind the instruction.
#[cfg(target_arch = "x86_64")]
std::arch::global_asm!(
    ".globl hazcat_passing_call",
    "hazcat_passing_call:",
    "mov rax, rdi",
    "mov rdi, rsi",
    "mov rsi, rdx",
    "mov rdx, rcx",
    "mov r10, r8",
    "mov r8, r9",
    "mov r9, [rsp + 8]",
    "syscall",
    ".globl hazcat_passed",
    "hazcat_passed:",
    "ret",
);
#[cfg(target_arch = "aarch64")]
std::arch::global_asm!(
    ".globl hazcat_passing_call",
    "hazcat_passing_call:",
    "mov x8, x0",
    "mov x0, x1",
    "mov x1, x2",
    "mov x2, x3",
    "mov x3, x4",
    "mov x4, x5",
    "mov x5, x6",
    "svc #0",
    ".globl hazcat_passed",
    "hazcat_passed:",
    "ret",
);

extern "C" {
    fn hazcat_passing_call(number: i64, a: u64, b: u64, c: u64, d: u64, e: u64, f: u64) -> i64;
    fn hazcat_passed();
}

/// Counts this thread's system calls from now on.
pub fn count_on_this_thread() {
    static HANDLER: Once = Once::new();
    HANDLER.call_once(install_handler);
    install_filter();
    COUNT.set(0);
    LAST.set(-1);
}

fn install_handler() {
    // SAFETY: all zeros is a valid sigaction.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = on_system_call as *const () as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
    // SAFETY: the handler is async-signal-safe: it touches constant thread-locals and makes a system call.
    assert_eq!(unsafe { libc::sigaction(libc::SIGSYS, &raw const action, std::ptr::null_mut()) }, 0);
}

fn install_filter() {
    let passed = hazcat_passed as *const () as usize as u64;
    // Offsets in struct seccomp_data: number 0, instruction pointer 8 (low half first).
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const ANSWER: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let step = |code, k, jt, jf| libc::sock_filter { code, jt, jf, k };
    let mut program = [
        step(LOAD, 8, 0, 0),
        step(EQUAL, passed as u32, 0, 2),
        step(LOAD, 12, 0, 0),
        step(EQUAL, (passed >> 32) as u32, 2, 0),
        step(LOAD, 0, 0, 0),
        step(EQUAL, libc::SYS_rt_sigreturn as u32, 0, 1),
        step(ANSWER, libc::SECCOMP_RET_ALLOW, 0, 0),
        step(ANSWER, libc::SECCOMP_RET_TRAP, 0, 0),
    ];
    let program = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    // SAFETY: plain numbers.
    assert_eq!(unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) }, 0);
    // SAFETY: the program is valid for the call; the kernel copies it. It concerns this thread only.
    let result = unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    assert_eq!(result, 0, "the kernel refuses a seccomp filter: {}", std::io::Error::last_os_error());
}

/// The thread's registers hold the call as it was about to be made, and take its result.
extern "C" fn on_system_call(_signal: i32, _info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel hands a handler of this kind the interrupted context, which is nobody else's.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    let registers = &mut context.uc_mcontext;
    #[cfg(target_arch = "x86_64")]
    let (number, arguments) = {
        let of = |register: i32| registers.gregs[register as usize] as u64;
        let places = [libc::REG_RDI, libc::REG_RSI, libc::REG_RDX, libc::REG_R10, libc::REG_R8, libc::REG_R9];
        (of(libc::REG_RAX) as i64, places.map(of))
    };
    #[cfg(target_arch = "aarch64")]
    let (number, arguments) =
        (registers.regs[8] as i64, [0, 1, 2, 3, 4, 5].map(|register: usize| registers.regs[register]));
    COUNT.set(COUNT.get() + 1);
    LAST.set(number);
    let [a, b, c, d, e, f] = arguments;
    // SAFETY: the very call that the thread was about to make, with its own arguments.
    let result = unsafe { hazcat_passing_call(number, a, b, c, d, e, f) };
    #[cfg(target_arch = "x86_64")]
    {
        registers.gregs[libc::REG_RAX as usize] = result;
    }
    #[cfg(target_arch = "aarch64")]
    {
        registers.regs[0] = result as u64;
    }
}
