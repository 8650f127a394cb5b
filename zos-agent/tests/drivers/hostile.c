// SPDX-License-Identifier: Apache-2.0
/* Tries what no program in a machine may do, and prints what it could. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/btrfs.h>
#include <linux/fs.h>
#include <linux/keyctl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <linux/magic.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/uio.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* An attempt is refused as such, not for its arguments. A filter of calls answers ENOSYS to those that it doesn't know, and
 * ENOTTY to those of the file system. */
static void attempt(const char *what, long result)
{
    if (result >= 0 || (errno != EPERM && errno != EACCES && errno != ENOSYS && errno != EROFS && errno != ENOTTY))
        printf("%s: %s\n", what, result >= 0 ? "done" : strerror(errno));
}

/* Not every kernel has the file: control groups have two versions. */
static void attempt_to_write(const char *path)
{
    if (access(path, F_OK) == 0 || errno != ENOENT)
        attempt(path, open(path, O_WRONLY));
}

/* Groups of the first kind are below a file system in memory of the machine's own. */
static void attempt_a_group_in(const char *folder)
{
    struct statfs found;
    char path[64];
    snprintf(path, sizeof path, "%s/x", folder);
    if (statfs(folder, &found) == 0 && found.f_type != TMPFS_MAGIC)
        attempt(path, mkdir(path, 0700));
}

static void forbidden_calls(void)
{
    attempt("mount", mount("none", "/tmp", "tmpfs", 0, NULL));
    attempt("remount", mount(NULL, "/proc/sys", NULL, MS_REMOUNT | MS_BIND, NULL));
    attempt("unmount", umount2("/proc/cmdline", MNT_DETACH));
    attempt("open a tree", syscall(SYS_open_tree, AT_FDCWD, "/", 1));
    attempt("pivot root", syscall(SYS_pivot_root, "/", "/tmp"));
    attempt("user namespace", unshare(CLONE_NEWUSER));
    attempt("mount namespace", unshare(CLONE_NEWNS));
    attempt("network namespace", unshare(CLONE_NEWNET));
    attempt("join a namespace", syscall(SYS_setns, open("/proc/self/ns/mnt", O_RDONLY), 0));
    attempt("raw socket", socket(AF_INET, SOCK_RAW, 1));
    attempt("raw IPv6 socket", socket(AF_INET6, SOCK_RAW, 58));
    attempt("packet socket", socket(AF_PACKET, SOCK_RAW, 0));
    attempt("read a key", syscall(SYS_keyctl, KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING, 0));
    attempt("add a key", syscall(SYS_add_key, "user", "x", "y", 1, KEY_SPEC_USER_KEYRING));
    attempt("request a key", syscall(SYS_request_key, "user", "x", NULL, 0));
    attempt("disk", mknod("/tmp/disk", S_IFBLK | 0600, makedev(254, 0)));
    attempt("memory", mknod("/tmp/memory", S_IFCHR | 0600, makedev(1, 1)));
    attempt("file by handle", syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, 0));
    attempt("BPF", syscall(SYS_bpf, 0, NULL, 0));
    attempt("performance counters", syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
    attempt("page faults", syscall(SYS_userfaultfd, 0));
    attempt("kernel module", syscall(SYS_init_module, NULL, 0, ""));
    attempt("other kernel", syscall(SYS_kexec_load, 0, 0, NULL, 0));
    attempt("kernel log", syscall(SYS_syslog, 3, NULL, 0));
    attempt("clock", syscall(SYS_settimeofday, NULL, NULL));
    attempt("swap", syscall(SYS_swapon, "/tmp", 0));
    attempt("reboot", syscall(SYS_reboot, 0, 0, 0, NULL));
    attempt("host name", sethostname("x", 1));
    attempt("quota", syscall(SYS_quotactl, 0, "/", 0, NULL));
    attempt("accounting", syscall(SYS_acct, "/tmp/x"));
    attempt("core pattern", open("/proc/sys/kernel/core_pattern", O_WRONLY));
    attempt_to_write("/sys/kernel/uevent_helper");
    attempt_to_write("/sys/kernel/mm/transparent_hugepage/enabled");
    attempt_to_write("/sys/fs/cgroup/memory/release_agent");
    attempt_to_write("/sys/fs/cgroup/memory/memory.limit_in_bytes");
    attempt_to_write("/sys/fs/cgroup/memory.max");
    attempt_to_write("/sys/fs/cgroup/cgroup.procs");
    attempt_a_group_in("/sys/fs/cgroup");
    attempt_a_group_in("/sys/fs/cgroup/memory");
    attempt_to_write("/proc/sysrq-trigger");
}

/* Calls of the file system that need no right. */
static void btrfs_calls(void)
{
    struct btrfs_ioctl_vol_args named = { .name = "own-subvolume" };
    int root = open("/", O_RDONLY | O_DIRECTORY);
    struct btrfs_ioctl_vol_args_v2 snapshot = { .fd = root, .name = "snapshot" };
    struct btrfs_ioctl_vol_args_v2 nested = { .name = "nested" };
    __u64 read_only = BTRFS_SUBVOL_RDONLY;
    int volume = open("/seeded", O_RDONLY | O_DIRECTORY);
    attempt("subvolume", ioctl(root, BTRFS_IOC_SUBVOL_CREATE, &named));
    attempt("subvolume of the second kind", ioctl(volume, BTRFS_IOC_SUBVOL_CREATE_V2, &nested));
    attempt("snapshot", ioctl(root, BTRFS_IOC_SNAP_CREATE_V2, &snapshot));
    attempt("read-only subvolume", ioctl(volume, BTRFS_IOC_SUBVOL_SETFLAGS, &read_only));
    int in = open("/bin/hostile", O_RDONLY), out = open("/clone", O_RDWR | O_CREAT, 0600);
    attempt("reflink", ioctl(out, FICLONE, in));
    attempt("copy within the kernel", syscall(SYS_copy_file_range, in, NULL, out, NULL, 4096, 0));
}

/* Traces processes by their numbers, and reads their memory: those of others have none here. */
static void trace(int count, char **pids)
{
    for (int i = 0; i < count; i++) {
        pid_t pid = atoi(pids[i]);
        char byte;
        struct iovec here = { &byte, 1 }, there = { &byte, 1 };
        if (ptrace(PTRACE_ATTACH, pid, NULL, NULL) == 0 || (errno != ESRCH && errno != EPERM))
            printf("traced %d\n", pid);
        if (syscall(SYS_process_vm_readv, pid, &here, 1, &there, 1, 0) >= 0 || (errno != ESRCH && errno != EPERM))
            printf("read %d\n", pid);
    }
}

/* Takes inotify instances and keeps them. */
static void take_instances(int count)
{
    int taken = 0;
    while (taken < count && inotify_init() >= 0)
        taken++;
    printf("%d\n", taken);
    fflush(stdout);
    pause();
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "trace") == 0) {
        trace(argc - 2, argv + 2);
        return 0;
    }
    if (argc > 1) {
        take_instances(atoi(argv[1]));
        return 0;
    }
    forbidden_calls();
    btrfs_calls();
    return 0;
}
