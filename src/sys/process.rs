//! Who is alive: a process is named by its pid **and** what `Mark` says, so that a reused pid is not mistaken for it, nor the
//! program that it was replaced by (exec).

use super::errno;
use std::os::fd::{FromRawFd, OwnedFd};

/// The calling process.
pub fn pid() -> u32 {
    std::process::id()
}

/// Which of the processes with one pid.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Mark {
    /// When it started, in clock ticks since boot; 0: not known.
    pub start: u64,
    /// Where its program's stack begins, which each exec chooses anew; 0: not known, or not to be seen by us.
    pub stack: u64,
}

impl Mark {
    fn may_be(self, other: Mark) -> bool {
        let same = |a, b| a == 0 || b == 0 || a == b;
        same(self.start, other.start) && same(self.stack, other.stack)
    }

    /// Of a process; None if it is gone, or not to be seen.
    fn of(pid: u32) -> Option<Mark> {
        Self::read(&folder(pid)?)
    }

    fn read(folder: &str) -> Option<Mark> {
        let stat = std::fs::read_to_string(format!("{folder}/stat")).ok()?;
        // Fields 22 and 28. The second is the program's name in parentheses and may hold anything: count from its end.
        let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
        Some(Mark {
            start: fields.nth(19)?.parse().ok()?,
            stack: fields.nth(5)?.parse().ok()?,
        })
    }

    /// Of this process.
    pub fn mine() -> Mark {
        Self::read("/proc/self").unwrap_or_default()
    }
}

/// The folder in `/proc` of the process with this pid; None if it is gone, or not to be seen there. In a new pid namespace
/// `/proc` may still be another's, with other numbers: then the kernel is asked which is meant.
pub fn folder(pid: u32) -> Option<String> {
    if proc_is_ours()? {
        return Some(format!("/proc/{pid}"));
    }
    let fd = pidfd(pid);
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{fd}"));
    // SAFETY: we opened it; if there was none to be had, this is an error that nobody needs.
    unsafe { libc::close(fd) };
    let number: i64 = info
        .ok()?
        .lines()
        .find_map(|line| line.strip_prefix("Pid:"))?
        .trim()
        .parse()
        .ok()?;
    (number > 0).then(|| format!("/proc/{number}"))
}

/// Does `/proc` number processes as this one does? None: there is no `/proc`.
fn proc_is_ours() -> Option<bool> {
    let mine = std::fs::read_link("/proc/self").ok()?;
    Some(mine.to_str() == Some(&pid().to_string()))
}

/// The namespaces in which this process's pid and start time mean something, as one number; 0 without `/proc`.
pub fn namespaces() -> u64 {
    use std::os::unix::fs::MetadataExt;
    let number = |name| std::fs::metadata(format!("/proc/self/ns/{name}")).map_or(0, |file| file.ino());
    number("pid") | number("time") << 32
}

/// Is the process that had this pid and mark still running? A zombie is dead: none of its threads run. In doubt (no
/// descriptor left, no /proc) the answer is yes, and the caller asks again a slice later.
pub fn is_alive(pid: u32, mark: Mark) -> bool {
    let is_it = || mark == Mark::default() || Mark::of(pid).is_none_or(|now| now.may_be(mark));
    let fd = pidfd(pid);
    if fd < 0 {
        // The last two, by kernel: the number is a thread's by now, or a process group's that its process has left.
        if matches!(errno(), libc::ESRCH | libc::ENOENT | libc::EINVAL) {
            return false;
        }
        // SAFETY: signal 0 only asks.
        return (unsafe { libc::kill(pid as libc::pid_t, 0) } == 0 || errno() != libc::ESRCH) && is_it();
    }
    let ended = is_readable(fd, 0);
    // SAFETY: we opened it.
    unsafe { libc::close(fd) };
    !ended && is_it()
}

/// What tells a parent whether the child that it forks exists: the end of a pipe whose other end the child has, until it closes
/// it, ends or becomes another program.
pub struct Lifeline {
    fd: libc::c_int,
    /// Which pipe it is: a program may close descriptors that it does not know, and the number be another file's.
    inode: u64,
}

/// A lifeline, and the child's end of it. None if no descriptors are to be had.
pub fn lifeline() -> Option<(Lifeline, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: a place for two descriptors, which are ours from then on.
    let [fd, theirs] = unsafe { (libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) == 0).then_some(ends) }?;
    // SAFETY: it was just made.
    let theirs = unsafe { OwnedFd::from_raw_fd(theirs) };
    Some((Lifeline { fd, inode: inode(fd) }, theirs))
}

/// 0: there is no such descriptor.
fn inode(fd: libc::c_int) -> u64 {
    // SAFETY: an all-zero status is a valid place for what the call writes.
    unsafe {
        let mut status: libc::stat = std::mem::zeroed();
        if libc::fstat(fd, &mut status) == 0 {
            status.st_ino as u64
        } else {
            0
        }
    }
}

impl Lifeline {
    /// Has nobody the other end any more? Waits for that at most so many milliseconds.
    pub fn is_cut(&self, milliseconds: i32) -> bool {
        let mut p = libc::pollfd {
            fd: self.fd,
            events: 0,
            revents: 0,
        };
        // SAFETY: one valid pollfd.
        unsafe { libc::poll(&mut p, 1, milliseconds) == 1 && p.revents & libc::POLLHUP != 0 }
    }

    /// Is the descriptor still the pipe's?
    pub fn is_whole(&self) -> bool {
        inode(self.fd) == self.inode
    }
}

impl Drop for Lifeline {
    fn drop(&mut self) {
        if self.is_whole() {
            // SAFETY: it is ours.
            unsafe { libc::close(self.fd) };
        }
    }
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
    let mark = Mark::of(parent).unwrap_or_default();
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
            .spawn(move || end_with(parent, mark, fd))
            .map(drop)
    })
}

/// Wait for the process's end, and end. Programs close descriptors that they do not know (`os.closerange`), so that ours may
/// be none any more, or another file's: what it says is looked into.
fn end_with(pid: u32, mark: Mark, mut fd: libc::c_int) {
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
        if !is_alive(pid, mark) {
            end();
        }
        fd = pidfd(pid);
    }
}

/// Kill a process; by `pidfd` if that is one (0 and more), which reaches that process and never one with the same number. False:
/// there is no such process.
pub fn kill(pid: u32, pidfd: libc::c_int) -> std::io::Result<bool> {
    // SAFETY: plain numbers, and no information to go with the signal.
    let sent = unsafe {
        if pidfd >= 0 {
            let information = std::ptr::null::<libc::siginfo_t>();
            libc::syscall(libc::SYS_pidfd_send_signal, pidfd, libc::SIGKILL, information, 0) == 0
        } else {
            libc::kill(pid as libc::pid_t, libc::SIGKILL) == 0
        }
    };
    match sent {
        true => Ok(true),
        false if errno() == libc::ESRCH => Ok(false),
        false => Err(std::io::Error::last_os_error()),
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

/// Can something be read here, or is its end to be seen? Waits for that at most so many milliseconds.
pub fn is_readable(fd: libc::c_int, milliseconds: i32) -> bool {
    let mut p = libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: one valid pollfd.
    unsafe { libc::poll(&mut p, 1, milliseconds) == 1 }
}

/// A number that somebody wrote to a pipe, if there is one or the pipe has ended; then without a number it is `ended`.
pub fn read_number(fd: libc::c_int, ended: i64) -> Option<i64> {
    let mut bytes = [0; size_of::<i64>()];
    if !is_readable(fd, 0) {
        return None;
    }
    // SAFETY: so many bytes have room. They come in one piece, as they were written.
    let n = unsafe { libc::read(fd, bytes.as_mut_ptr().cast(), bytes.len()) };
    Some(if n == bytes.len() as isize {
        i64::from_ne_bytes(bytes)
    } else {
        ended
    })
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
    // SAFETY: the set is a valid place for what the call writes.
    blocking(|all| unsafe { libc::sigfillset(all) }, f)
}

/// Run `f` with SIGINT blocked in this thread: a process that `f` starts keeps it so.
pub fn without_interrupts<R>(f: impl FnOnce() -> R) -> R {
    // SAFETY: as in `without_signals`.
    blocking(|set| unsafe { libc::sigaddset(set, libc::SIGINT) }, f)
}

fn blocking<R>(choose: impl FnOnce(&mut libc::sigset_t) -> libc::c_int, f: impl FnOnce() -> R) -> R {
    // SAFETY: all-zero sets are valid places for what the calls write; they change this thread's mask alone.
    let before = unsafe {
        let (mut set, mut before): (libc::sigset_t, libc::sigset_t) = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        choose(&mut set);
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, &mut before);
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
