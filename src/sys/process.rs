//! Who is alive: a process is named by its pid **and** its start time, so that a reused pid is not mistaken for it.

use super::errno;

/// The calling process.
pub fn pid() -> u32 {
    std::process::id()
}

/// When the process started, in clock ticks since boot (field 22 of `/proc/PID/stat`); None if it is gone.
pub fn start_time(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the name in parentheses and may hold anything: count from its end.
    stat[stat.rfind(')')? + 1..]
        .split_ascii_whitespace()
        .nth(19)?
        .parse()
        .ok()
}

/// Is the process that had this pid at this start time (0: at any) still running? A zombie is dead: none of its threads run.
/// In doubt (no descriptor left, no /proc) the answer is yes, and the caller asks again a slice later.
pub fn is_alive(pid: u32, start: u64) -> bool {
    let fd = pidfd(pid);
    if fd < 0 {
        if errno() == libc::ESRCH {
            return false;
        }
        // SAFETY: signal 0 only asks.
        return unsafe { libc::kill(pid as libc::pid_t, 0) } == 0 || errno() != libc::ESRCH;
    }
    let mut p = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one valid pollfd, no waiting; then we close the descriptor that we opened.
    let ended = unsafe {
        let n = libc::poll(&mut p, 1, 0);
        libc::close(fd);
        n == 1
    };
    !ended && (start == 0 || start_time(pid).is_none_or(|s| s == start))
}

/// The child that this thread forked last, if it was not reaped yet. (The kernel lists them in that order.)
pub fn youngest_child() -> Option<u32> {
    let children = std::fs::read_to_string("/proc/thread-self/children").ok()?;
    children.split_ascii_whitespace().next_back()?.parse().ok()
}

/// Is this the process's first thread, the one whose interpreter thread runs signal handlers and finalization?
pub fn in_main_thread() -> bool {
    // SAFETY: a plain query.
    unsafe { libc::gettid() as u32 == pid() }
}

/// End this process (SIGKILL) when the process `parent` ends.
///
/// `by_signal`: the kernel does it when the *thread* that started us ends, which costs nothing and is right where that was
/// the parent's first thread. Else a thread of ours waits for the parent.
pub fn die_with(parent: u32, by_signal: bool) -> std::io::Result<()> {
    // SAFETY: plain calls.
    unsafe {
        if by_signal && libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) == 0 {
            if libc::getppid() as u32 != parent {
                libc::raise(libc::SIGKILL); // it had ended before
            }
            return Ok(());
        }
    }
    let start = start_time(parent).unwrap_or(0);
    let fd = pidfd(parent);
    if fd < 0 {
        let e = std::io::Error::last_os_error();
        if e.raw_os_error() == Some(libc::ESRCH) {
            end();
        }
        return Err(e);
    }
    // The thread has no business with the program's signals: with all of them blocked it starts, and so it stays.
    without_signals(|| {
        std::thread::Builder::new()
            .name("lightwork-parent".into())
            .stack_size(64 << 10)
            .spawn(move || end_with(parent, start, fd))
            .map(drop)
    })
}

/// Wait for the process's end, and end. Programs close descriptors that they do not know (`os.closerange`), so that ours may
/// be none any more, or another file's: what it says is looked into.
fn end_with(pid: u32, start: u64, mut fd: libc::c_int) {
    loop {
        let mut p = libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        };
        // SAFETY: one valid pollfd. (A second, where there was no descriptor to be had.)
        let n = unsafe { libc::poll(&mut p, 1, if fd < 0 { 1000 } else { -1 }) };
        if n < 0 {
            continue;
        }
        if !is_alive(pid, start) {
            end();
        }
        fd = pidfd(pid);
    }
}

/// Reap a child if it has ended: its exit code (-n: killed by signal n), and the bytes that it had resident at most.
pub fn reap(pid: u32) -> std::io::Result<Option<(i64, u64)>> {
    let mut status = 0;
    // SAFETY: all-zero usage is a valid place for what the call writes; it does not wait.
    let (reaped, usage) = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        (
            libc::wait4(pid as libc::pid_t, &mut status, libc::WNOHANG, &mut usage),
            usage,
        )
    };
    match reaped {
        0 => Ok(None),
        n if n < 0 => Err(std::io::Error::last_os_error()),
        _ => {
            let code = if libc::WIFSIGNALED(status) {
                -libc::WTERMSIG(status)
            } else {
                libc::WEXITSTATUS(status)
            };
            Ok(Some((code as i64, usage.ru_maxrss as u64 * 1024)))
        }
    }
}

/// A number that somebody wrote to a pipe, if there is one or the pipe has ended; then without a number it is `ended`.
pub fn read_number(fd: libc::c_int, ended: i64) -> Option<i64> {
    let mut p = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    let mut bytes = [0; size_of::<i64>()];
    // SAFETY: one valid pollfd, no waiting; so many bytes have room. They come in one piece, as they were written.
    unsafe {
        if libc::poll(&mut p, 1, 0) < 1 {
            return None;
        }
        let n = libc::read(fd, bytes.as_mut_ptr().cast(), bytes.len());
        Some(if n == bytes.len() as isize {
            i64::from_ne_bytes(bytes)
        } else {
            ended
        })
    }
}

/// Kill the calling process: nothing of its program runs after this.
pub fn end() {
    // SAFETY: plain calls.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
}

/// Write to the beginning of a file.
#[cfg(feature = "kill_points")]
pub fn last_words(fd: i32, words: &[u8]) {
    // SAFETY: the bytes are there; a descriptor that is none is an error that nobody needs.
    unsafe { libc::pwrite(fd, words.as_ptr().cast(), words.len(), 0) };
}

fn pidfd(pid: u32) -> libc::c_int {
    // SAFETY: plain numbers.
    unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) as libc::c_int }
}

/// Run `f` with all signals blocked in this thread: a thread that `f` starts keeps them so.
fn without_signals<R>(f: impl FnOnce() -> R) -> R {
    // SAFETY: all-zero sets are valid places for what the calls write; they change this thread's mask alone.
    let before = unsafe {
        let (mut all, mut before): (libc::sigset_t, libc::sigset_t) = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
        before
    };
    let r = f();
    // SAFETY: the mask as it was.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut()) };
    r
}

/// Processors that this process may run on (its affinity; the cgroup's quota is the Python layer's business).
pub fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, |n| n.get())
}
