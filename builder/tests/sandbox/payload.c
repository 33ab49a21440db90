/* What a hostile build tries, one act a run: `hostile ACT [ARGUMENT...]`. The same words are run inside a
 * sandbox and as the control arm. Exit code 0: the act worked. 1: it did not, and standard output says
 * why. An act that begins with `own-` first makes a user namespace where it may, so that an ordinary user
 * is able to do it to what is its own. Nothing here changes what it has not made itself. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <netdb.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

static char **words;
static const char *word(int n) { return words[n] ? words[n] : ""; }
static long number(int n) { return strtol(word(n), 0, 0); }

static int fail(const char *what) {
  printf("%s: %s\n", what, strerror(errno));
  return 1;
}
static int told(long result, const char *what) { return result < 0 ? fail(what) : 0; }

static void put(const char *path, const char *text) {
  int f = open(path, O_WRONLY);
  if (f >= 0) {
    if (write(f, text, strlen(text)) < 0) errno = 0;
    close(f);
  }
}

/* A user namespace of one's own with the given ones beside, where the system allows it. */
static void own(int more) {
  char map[64];
  uid_t uid = getuid();
  gid_t gid = getgid();
  if (unshare(CLONE_NEWUSER | more) < 0) return;
  put("/proc/self/setgroups", "deny");
  snprintf(map, sizeof map, "0 %d 1", uid);
  put("/proc/self/uid_map", map);
  snprintf(map, sizeof map, "0 %d 1", gid);
  put("/proc/self/gid_map", map);
}

/* A child that waits until it is killed, and dies with its parent. */
static pid_t waiting_child(void) {
  pid_t parent = getpid(), child = fork();
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (getppid() == parent) pause();
    _exit(0);
  }
  return child;
}

static int open_as(const char *path, int flags) {
  int f = open(path, flags | O_NOCTTY | O_NONBLOCK, 0644);
  return told(f, path);
}

static int read_one(const char *path) {
  char byte;
  int f = open(path, O_RDONLY | O_NONBLOCK);
  if (f < 0) return fail(path);
  return told(read(f, &byte, 1), path);
}

static int file(const char *path) { return open(path, O_CREAT | O_RDWR, 0755); }

/* What has the set-user-id bit now. */
static int suid(const char *path) {
  struct stat s;
  if (stat(path, &s) < 0) return fail(path);
  if (s.st_mode & (S_ISUID | S_ISGID)) return 0;
  printf("%s: the bit was stripped\n", path);
  return 1;
}

static int child_ends(pid_t child) {
  int status;
  if (child < 0) return fail("fork");
  waitpid(child, &status, 0);
  if (WIFSIGNALED(status)) {
    printf("killed: %s\n", strsignal(WTERMSIG(status)));
    return 1;
  }
  return WEXITSTATUS(status);
}

static int int80(void) {
#ifdef __x86_64__
  pid_t child = fork();
  if (child == 0) {
    long r;
    __asm__ volatile("int $0x80" : "=a"(r) : "a"(20));
    _exit(r == getpid() ? 0 : 1);
  }
  return child_ends(child);
#else
  printf("another architecture\n");
  return 1;
#endif
}

static int unix_socket(const char *name, int listening, int abstract) {
  struct sockaddr_un a = {.sun_family = AF_UNIX};
  int s = socket(AF_UNIX, SOCK_STREAM, 0);
  size_t length = strlen(name);
  memcpy(a.sun_path + abstract, name, length);
  socklen_t size = offsetof(struct sockaddr_un, sun_path) + abstract + length;
  if (s < 0) return fail("socket");
  if (!listening) return told(connect(s, (void *)&a, size), name);
  if (bind(s, (void *)&a, size) < 0 || listen(s, 1) < 0) return fail(name);
  return 0;
}

/* Sends a question to a name server and waits a second for its answer. */
static int ask(const char *host, int port) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)};
  struct timeval second = {1, 0};
  char answer[64];
  static const char question[] = "\0\1\1\0\0\1\0\0\0\0\0\0\7example\3org\0\0\1\0\1";
  int s = socket(AF_INET, SOCK_DGRAM, 0);
  if (s < 0) return fail("socket");
  inet_pton(AF_INET, host, &a.sin_addr);
  setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &second, sizeof second);
  if (connect(s, (void *)&a, sizeof a) < 0) return fail("connect");
  if (send(s, question, sizeof question - 1, 0) < 0) return fail("send");
  return told(recv(s, answer, sizeof answer, 0), "recv");
}

static int tiocsti(void) {
  int pty = posix_openpt(O_RDWR | O_NOCTTY);
  int tty = 0;
  if (pty >= 0 && grantpt(pty) == 0 && unlockpt(pty) == 0) {
    setsid();
    tty = open(ptsname(pty), O_RDWR);
    ioctl(tty, TIOCSCTTY, 0);
  }
  return told(ioctl(tty, TIOCSTI, "x"), "TIOCSTI");
}

/* All of memory that is asked for, touched. */
static int hog(long bytes) {
  char *memory = mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return fail("mmap");
  for (long at = 0; at < bytes; at += 4096) memory[at] = 1;
  return 0;
}

static int fill(const char *path, long bytes) {
  static char block[1 << 16];
  int f = file(path);
  if (f < 0) return fail(path);
  for (long left = bytes; left > 0; left -= sizeof block)
    if (write(f, block, sizeof block) < 0) return fail(path);
  return 0;
}

static int many(long count) {
  for (long n = 0; n < count; n++)
    if (waiting_child() < 0) return fail("fork");
  return 0;
}

/* A tree so deep that no path reaches its end. */
static int deep(const char *start, long levels) {
  static char name[256];
  memset(name, 'd', 255);
  if (mkdir(start, 0755) < 0 || chdir(start) < 0) return fail(start);
  for (long n = 0; n < levels; n++)
    if (mkdir(name, 0755) < 0 || chdir(name) < 0) return fail("mkdir");
  return told(file("end"), "end");
}

static int to_every_descriptor(void) {
  static const char frame[] = "J\0\0\0\7\"Ready\"B\0\0\0\0{\"answer\":\"finished\"}";
  int heard = 0;
  signal(SIGPIPE, SIG_IGN); /* one that nobody reads any more must not end the round */
  for (int f = 3; f < 4096; f++)
    if (write(f, frame, sizeof frame) > 0) heard++;
  for (int f = 0; f < 3; f++)
    if (write(f, frame, sizeof frame) < 0) continue;
  return heard ? 0 : 1;
}

static int act(const char *name) {
#define IS(text) (!strcmp(name, text))
  /* files */
  if (IS("read")) return read_one(word(2));
  if (IS("open-read")) return open_as(word(2), O_RDONLY);
  if (IS("open-write")) return open_as(word(2), O_WRONLY);
  if (IS("open-both")) return open_as(word(2), O_RDWR);
  if (IS("create")) return told(file(word(2)), word(2));
  if (IS("symlink")) return told(symlink(word(2), word(3)), word(3));
  if (IS("link")) return told(link(word(2), word(3)), word(3));
  if (IS("mkfifo")) return told(mkfifo(word(2), 0644), word(2));
  if (IS("mknod-c")) return told(mknod(word(2), S_IFCHR | 0666, 0x103), word(2));
  if (IS("mknod-b")) return told(mknod(word(2), S_IFBLK | 0666, 0x700), word(2));
  if (IS("bind-path")) return unix_socket(word(2), 1, 0);
  if (IS("truncate")) {
    signal(SIGXFSZ, SIG_IGN);
    return told(ftruncate(file(word(2)), number(3)), "ftruncate");
  }
  if (IS("fill")) return fill(word(2), number(3));
  if (IS("deep")) return deep(word(2), number(3));
  if (IS("inodes")) {
    char path[512];
    for (long n = 0; n < number(3); n++) {
      snprintf(path, sizeof path, "%s/%ld", word(2), n);
      int f = file(path);
      if (f < 0) return fail("inodes");
      close(f);
    }
    return 0;
  }
  /* modes and attributes */
  if (IS("suid-chmod")) return file(word(2)) < 0 || chmod(word(2), 04755) < 0 ? fail("chmod") : suid(word(2));
  if (IS("suid-fchmod")) return fchmod(file(word(2)), 06755) < 0 ? fail("fchmod") : suid(word(2));
  if (IS("suid-fchmodat2"))
    return file(word(2)) < 0 || syscall(452, AT_FDCWD, word(2), 02755, 0) < 0 ? fail("fchmodat2") : suid(word(2));
  if (IS("suid-open")) return open(word(2), O_CREAT | O_EXCL | O_RDWR, 04755) < 0 ? fail("open") : suid(word(2));
  if (IS("suid-creat")) return creat(word(2), 02755) < 0 ? fail("creat") : suid(word(2));
  if (IS("suid-mknod")) return mknod(word(2), S_IFREG | 04755, 0) < 0 ? fail("mknod") : suid(word(2));
  if (IS("xattr-user")) return told(fsetxattr(file(word(2)), "user.x", "y", 1, 0), "fsetxattr");
  if (IS("own-xattr-capability")) {
    static const char capability[] = "\1\0\0\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    own(0);
    return told(fsetxattr(file(word(2)), "security.capability", capability, 20, 0), "fsetxattr");
  }
  if (IS("euid")) {
    printf("%d\n", geteuid());
    return geteuid() == 0 ? 0 : 1;
  }
  /* namespaces and mounts */
  if (IS("unshare-user")) return told(unshare(CLONE_NEWUSER), "unshare");
  if (IS("clone-user")) {
    long child = syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0);
    if (child == 0) _exit(0);
    return told(child, "clone");
  }
  if (IS("clone3-user")) {
    unsigned long arguments[8] = {CLONE_NEWUSER, 0, 0, 0, SIGCHLD};
    long child = syscall(SYS_clone3, arguments, 64);
    if (child == 0) _exit(0);
    return told(child, "clone3");
  }
  if (IS("setns")) return told(setns(open("/proc/self/ns/uts", O_RDONLY), 0), "setns");
  if (IS("own-unshare-mount")) return own(0), told(unshare(CLONE_NEWNS), "unshare");
  if (IS("own-mount")) return own(CLONE_NEWNS), told(mount("x", "/tmp", "tmpfs", 0, 0), "mount");
  if (IS("own-umount")) {
    own(CLONE_NEWNS);
    mount("x", word(2), "tmpfs", 0, 0);
    return told(umount2(word(2), MNT_DETACH), "umount");
  }
  if (IS("own-remount")) {
    own(CLONE_NEWNS);
    if (mount("x", word(2), "tmpfs", MS_RDONLY, 0) == 0) return told(mount(0, word(2), 0, MS_REMOUNT, 0), "remount");
    return told(mount(0, word(2), 0, MS_REMOUNT | MS_BIND, 0), "remount");
  }
  if (IS("own-fsopen")) return own(CLONE_NEWNS), told(syscall(SYS_fsopen, "tmpfs", 0), "fsopen");
  if (IS("own-open-tree")) return own(CLONE_NEWNS), told(syscall(SYS_open_tree, AT_FDCWD, "/", 0x8001), "open_tree");
  if (IS("own-chroot")) return own(0), told(chroot("/tmp"), "chroot");
  if (IS("own-pivot-root")) {
    own(CLONE_NEWNS);
    mount("x", "/tmp", "tmpfs", 0, 0);
    if (chdir("/tmp") < 0) return fail("chdir");
    return told(syscall(SYS_pivot_root, ".", "."), "pivot_root");
  }
  if (IS("own-hostname")) return own(CLONE_NEWUTS), told(sethostname("evil", 4), "sethostname");
  if (IS("setuid-0")) return own(0), told(setuid(0), "setuid");
  /* processes */
  if (IS("ptrace")) return told(ptrace(PTRACE_SEIZE, number(2), 0, 0), "ptrace");
  if (IS("ptrace-child")) return told(ptrace(PTRACE_SEIZE, waiting_child(), 0, 0), "ptrace");
  if (IS("vm-write")) {
    static char here[8];
    struct iovec local = {here, 8}, remote = {here, 8};
    return told(syscall(SYS_process_vm_writev, waiting_child(), &local, 1, &remote, 1, 0), "process_vm_writev");
  }
  if (IS("kill-child")) {
    pid_t child = waiting_child();
    int status;
    if (kill(child, SIGKILL) < 0) return fail("kill");
    return waitpid(child, &status, 0) == child && WIFSIGNALED(status) ? 0 : 1;
  }
  if (IS("signal")) return told(kill(number(2), 0), "kill");
  if (IS("many")) return many(number(2));
  if (IS("hog")) return hog(number(2));
  if (IS("to-every-descriptor")) return to_every_descriptor();
  if (IS("raise")) {
    struct rlimit limit = {0, 0};
    signal(number(2), SIG_DFL);
    if (word(3)[0]) {
      getrlimit(RLIMIT_CORE, &limit);
      limit.rlim_cur = limit.rlim_max;
      setrlimit(RLIMIT_CORE, &limit);
    }
    raise(number(2));
    return 0;
  }
  if (IS("memfd-exec")) {
    int memory = memfd_create("x", 0), from = open("/usr/bin/true", O_RDONLY);
    char block[4096], *none[] = {"x", 0};
    for (ssize_t n; (n = read(from, block, sizeof block)) > 0;)
      if (write(memory, block, n) < 0) return fail("write");
    fexecve(memory, none, none + 1);
    return fail("fexecve");
  }
  /* sockets */
  if (IS("socket")) return told(socket(number(2), number(3), number(4)), "socket");
  if (IS("own-socket")) return own(CLONE_NEWNET), told(socket(number(2), number(3), number(4)), "socket");
  if (IS("connect-abstract")) return unix_socket(word(2), 0, 1);
  if (IS("listen-abstract")) return unix_socket(word(2), 1, 1);
  if (IS("hold-abstract")) {
    /* it listens when this returns; a child keeps it */
    int result = unix_socket(word(2), 1, 1);
    if (result == 0 && fork() == 0) sleep(30);
    return result;
  }
  if (IS("ask")) return ask(word(2), number(3));
  if (IS("resolve")) {
    struct addrinfo *found;
    int result = getaddrinfo(word(2), 0, 0, &found);
    if (result) printf("getaddrinfo: %s\n", gai_strerror(result));
    return result != 0;
  }
  /* shared between processes */
  if (IS("shm-make")) return told(shmget(number(2), 4096, IPC_CREAT | 0666), "shmget");
  if (IS("shm-find")) return told(shmget(number(2), 0, 0), "shmget");
  if (IS("shm-remove")) return told(shmctl(shmget(number(2), 0, 0), IPC_RMID, 0), "shmctl");
  if (IS("mq-make")) return told(mq_open(word(2), O_CREAT | O_RDWR, 0666, 0), "mq_open");
  if (IS("mq-find")) return told(mq_open(word(2), O_RDWR), "mq_open");
  if (IS("mq-remove")) return told(mq_unlink(word(2)), "mq_unlink");
  /* the kernel */
  if (IS("keyctl")) return told(syscall(SYS_keyctl, 0, -3, 1), "keyctl");
  if (IS("add-key")) return told(syscall(SYS_add_key, "user", "countersign-test", "b", 1, -2), "add_key");
  if (IS("bpf")) {
    unsigned map[18] = {2, 4, 4, 1};
    return told(syscall(SYS_bpf, 0, map, sizeof map), "bpf");
  }
  if (IS("perf")) {
    unsigned event[32] = {1, 128};
    return told(syscall(SYS_perf_event_open, event, 0, -1, -1, 0), "perf_event_open");
  }
  if (IS("io-uring")) {
    char parameters[120] = {0};
    return told(syscall(SYS_io_uring_setup, 1, parameters), "io_uring_setup");
  }
  if (IS("userfaultfd")) return told(syscall(SYS_userfaultfd, 1), "userfaultfd");
  if (IS("fanotify")) return told(syscall(SYS_fanotify_init, 0x200, 0), "fanotify_init");
  if (IS("file-handle")) {
    struct { unsigned size; int type; char data[128]; } handle = {128, 0, {0}};
    int mount_id;
    return told(syscall(SYS_name_to_handle_at, AT_FDCWD, word(2), &handle, &mount_id, 0), "name_to_handle_at");
  }
  if (IS("memfd-secret")) return told(syscall(447, 0), "memfd_secret");
  if (IS("clock-settime")) return told(syscall(SYS_clock_settime, 0, 0), "clock_settime");
  if (IS("adjtimex")) return told(syscall(SYS_adjtimex, 0), "adjtimex");
  if (IS("kexec")) return told(syscall(SYS_kexec_load, 0, 0, 0, 0), "kexec_load");
  if (IS("module")) return told(syscall(SYS_init_module, 0, 0, ""), "init_module");
  if (IS("reboot")) return told(syscall(SYS_reboot, 0, 0, 0, 0), "reboot");
  if (IS("syslog")) return told(syscall(SYS_syslog, 10, 0, 0), "syslog");
  if (IS("swapoff")) return told(syscall(SYS_swapoff, word(2)), "swapoff");
  if (IS("tiocsti")) return tiocsti();
  if (IS("tioclinux")) return told(ioctl(0, TIOCLINUX, "\2"), "TIOCLINUX");
  if (IS("int80")) return int80();
  if (IS("x32")) return told(syscall(0x40000000 | SYS_getpid), "x32");
  if (IS("call")) return told(syscall(number(2), -1, 0, 0, 0, 0, 0), "call");
  if (IS("personality")) return told(syscall(SYS_personality, number(2)), "personality");
  if (IS("raise-limit")) {
    struct rlimit limit;
    getrlimit(number(2), &limit);
    limit.rlim_max = limit.rlim_max + 1;
    limit.rlim_cur = limit.rlim_max;
    return told(setrlimit(number(2), &limit), "setrlimit");
  }
  if (IS("nice")) return told(setpriority(PRIO_PROCESS, 0, -5), "setpriority");
  if (IS("fifo")) {
    struct sched_param parameter = {1};
    return told(sched_setscheduler(0, SCHED_FIFO, &parameter), "sched_setscheduler");
  }
  if (IS("ioprio")) return told(syscall(SYS_ioprio_set, 1, 0, (1 << 13) | 1), "ioprio_set");
  if (IS("mlock")) {
    long bytes = number(2);
    return told(mlock(mmap(0, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), bytes), "mlock");
  }
  printf("no act %s\n", name);
  return 2;
}

int main(int count, char **arguments) {
  words = arguments;
  int result = count < 2 ? 2 : act(word(1));
  fflush(stdout);
  return result;
}
