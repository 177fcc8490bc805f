//! The system calls of a smrd that serves, and of one that fetches; every other is refused as if this
//! kernel did not have it.
//!
//! ENOSYS and not EPERM: a C library that tries a newer call first falls back
//! to the one on the list. Derived from traces of every feature; one that is
//! missing shows as an error of one request in the log.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, apply_filter,
};

/// Calls that are allowed whatever their arguments.
const PLAIN: &[c_long] = &[
    // files, all of which Landlock bounds
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_close,
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_pwrite64,
    libc::SYS_lseek,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_statfs,
    libc::SYS_fstatfs,
    libc::SYS_faccessat,
    libc::SYS_getdents64,
    libc::SYS_readlinkat,
    libc::SYS_mkdirat,
    libc::SYS_linkat,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_unlinkat,
    libc::SYS_ftruncate,
    libc::SYS_fchmod, // metrics are for others to read
    libc::SYS_fallocate,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_sync_file_range,
    libc::SYS_syncfs,
    libc::SYS_flock,
    libc::SYS_fcntl,
    libc::SYS_copy_file_range,
    libc::SYS_sendfile,
    libc::SYS_fadvise64,
    // sockets that are there: none can be made, bound or connected
    libc::SYS_accept4,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_shutdown,
    // waiting
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_ppoll,
    libc::SYS_futex,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_restart_syscall,
    libc::SYS_sched_yield,
    // memory and threads
    libc::SYS_brk,
    libc::SYS_madvise,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_rseq,
    libc::SYS_set_robust_list,
    libc::SYS_sched_getaffinity,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // clock, randomness, who we are
    libc::SYS_clock_gettime,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_geteuid,
    libc::SYS_getuid,
];

/// What the fetcher of revocation data needs besides, for whom sockets are made
/// in `rules`.
const CALLING: &[c_long] = &[
    libc::SYS_connect,
    libc::SYS_bind, // to ask the kernel for its addresses (netlink)
    libc::SYS_sendmmsg,
    libc::SYS_uname,
];

/// The older names of some of these, which only this architecture has.
#[cfg(target_arch = "x86_64")]
const OLDER: &[c_long] = &[
    libc::SYS_open,
    libc::SYS_stat,
    libc::SYS_lstat,
    libc::SYS_access,
    libc::SYS_readlink,
    libc::SYS_mkdir,
    libc::SYS_rmdir,
    libc::SYS_link,
    libc::SYS_rename,
    libc::SYS_unlink,
    libc::SYS_epoll_wait,
    libc::SYS_poll,
    libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[c_long] = &[];

type Fault = seccompiler::BackendError;

/// A rule that holds where `mask` of an argument is `value`.
fn only(argument: u8, mask: u64, value: u64) -> Result<Vec<SeccompRule>, Fault> {
    let operator = SeccompCmpOp::MaskedEq(mask);
    let condition = SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)?;
    Ok(vec![SeccompRule::new(vec![condition])?])
}

fn rules(calls_others: bool) -> Result<BTreeMap<i64, Vec<SeccompRule>>, Fault> {
    let every = u64::from(u32::MAX);
    let flag = |flag: libc::c_int| u64::from(flag.unsigned_abs());
    let exec = flag(libc::PROT_EXEC);
    let thread = flag(libc::CLONE_THREAD);
    let plain = PLAIN.iter().chain(OLDER);
    let mut rules: BTreeMap<i64, _> = plain.map(|call| (*call, Vec::new())).collect();
    rules.extend([
        // Memory is written or run, never first one and then the other.
        (libc::SYS_mmap, only(2, exec, 0)?),
        (libc::SYS_mprotect, only(2, exec, 0)?),
        // Threads, and no processes. What clone3 is to do cannot be seen from
        // here; without it the C library uses clone.
        (libc::SYS_clone, only(0, thread, thread)?),
        // The names of threads.
        (libc::SYS_prctl, only(0, every, flag(libc::PR_SET_NAME))?),
        (libc::SYS_ioctl, only(1, every, libc::FIONBIO)?),
        // Its own end, in a panic that cannot unwind.
        (
            libc::SYS_tgkill,
            only(0, every, u64::from(std::process::id()))?,
        ),
    ]);
    if calls_others {
        rules.extend(CALLING.iter().map(|call| (*call, Vec::new())));
        let mut kinds = Vec::new();
        for kind in [libc::AF_INET, libc::AF_INET6, libc::AF_NETLINK] {
            kinds.extend(only(0, every, flag(kind))?);
        }
        rules.insert(libc::SYS_socket, kinds);
        let mut asked = only(1, every, libc::FIONBIO)?;
        // How long an answer of a server of names is.
        asked.extend(only(1, every, libc::FIONREAD)?);
        rules.insert(libc::SYS_ioctl, asked);
    }
    Ok(rules)
}

fn program(calls_others: bool) -> Result<(usize, BpfProgram), Fault> {
    let rules = rules(calls_others)?;
    let count = rules.len();
    let other = SeccompAction::Errno(libc::ENOSYS.unsigned_abs());
    let architecture = std::env::consts::ARCH.try_into()?;
    let filter = SeccompFilter::new(rules, other, SeccompAction::Allow, architecture)?;
    Ok((count, filter.try_into()?))
}

/// Leaves the calling thread, and those it makes, these calls alone; says how
/// many.
pub(super) fn refuse_others(calls_others: bool) -> Result<String, String> {
    let (count, program) = program(calls_others).map_err(|e| e.to_string())?;
    apply_filter(&program).map_err(|e| e.to_string())?;
    Ok(format!("seccomp-{count}"))
}
