// The whole user space of the tiny guest: process 1. It mounts the data partition, counts the boot, and then answers
// commands that come line by line over the serial port (see README.md). Written in C so that what is called synced
// was synced: every `OK` of a write, and every `SYNCED`, comes after fsync returned.
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/input.h>
#include <linux/reboot.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define DISK "/dev/vda"
#define PARTITION "/dev/vda2"
#define DATA "/data"
#define EXT4_IOC_RESIZE_FS _IOW('f', 16, uint64_t)

static int tty = -1;
static int data = -1;                    // the folder of the data partition
static volatile bool ignore_power_button;
static unsigned long boot;

// One line, one write: lines of the counting thread and answers never mix.
__attribute__((format(printf, 1, 2))) static void say(const char *format, ...) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    char line[8300];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line - 1, format, arguments);
    va_end(arguments);
    if (length > (int)sizeof line - 2) length = sizeof line - 2;
    line[length++] = '\n';
    pthread_mutex_lock(&lock);
    for (int done = 0; done < length;) {
        ssize_t n = write(tty, line + done, length - done);
        if (n > 0) done += n;
        else if (errno != EINTR && errno != EAGAIN) break;
    }
    pthread_mutex_unlock(&lock);
}

static void fail(const char *what) { say("ERR %s: %s", what, strerror(errno)); }

static double uptime(void) {
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

static void poke(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    if (write(fd, text, strlen(text)) < 0) { /* nobody to tell */ }
    close(fd);
}

// ---- Start ------------------------------------------------------------------------------------------------------

static int by_name(const struct dirent **a, const struct dirent **b) { return strcmp((*a)->d_name, (*b)->d_name); }

// The recipe numbers the modules in the order of their dependencies.
static void load_modules(void) {
    struct dirent **names;
    int count = scandir("/modules", &names, NULL, by_name);
    for (int i = 0; i < count; i++) {
        char path[512];
        if (names[i]->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "/modules/%s", names[i]->d_name);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST) say("WARN module %s: %s", names[i]->d_name, strerror(errno));
        close(fd);
    }
}

static bool wait_for(const char *path, int tenths) {
    while (access(path, F_OK) != 0) {
        if (tenths-- == 0) return false;
        usleep(100000);
    }
    return true;
}

// A disk made larger than its image: give the room at its end to the data partition, the last one. One sector is
// written, so a crash leaves the old table or the new one.
static void grow_partition(void) {
    unsigned char sector[512];
    uint64_t bytes = 0;
    int fd = open(DISK, O_RDWR | O_CLOEXEC);
    if (fd < 0 || ioctl(fd, BLKGETSIZE64, &bytes) != 0 || pread(fd, sector, 512, 0) != 512) goto done;
    uint32_t start, length;
    memcpy(&start, sector + 446 + 16 + 8, 4);
    memcpy(&length, sector + 446 + 16 + 12, 4);
    uint64_t wanted = bytes / 512 - start;
    wanted &= ~(uint64_t)2047;
    if (wanted > UINT32_MAX) wanted = UINT32_MAX & ~(uint64_t)2047;   // what a table of this kind can say: 2 TiB
    if (wanted <= length) goto done;
    length = (uint32_t)wanted;
    memcpy(sector + 446 + 16 + 12, &length, 4);
    if (pwrite(fd, sector, 512, 0) != 512 || fsync(fd) != 0 || ioctl(fd, BLKRRPART) != 0) say("WARN grow: %s", strerror(errno));
done:
    if (fd >= 0) close(fd);
    wait_for(PARTITION, 20);
}

static void grow_filesystem(void) {
    uint64_t bytes = 0;
    struct statvfs fs;
    int fd = open(PARTITION, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return;
    if (ioctl(fd, BLKGETSIZE64, &bytes) == 0 && fstatvfs(data, &fs) == 0) {
        uint64_t blocks = bytes / fs.f_bsize;
        // f_blocks leaves out the file system's own tables; asking for the size it has is free.
        if (ioctl(data, EXT4_IOC_RESIZE_FS, &blocks) != 0) say("WARN grow %s: %s", DATA, strerror(errno));
    }
    close(fd);
}

// ---- Files on the data partition ---------------------------------------------------------------------------------

static bool valid_name(const char *name) {
    if (name == NULL || *name == 0 || *name == '.' || strlen(name) > 100) { say("ERR a file name of 1 to 100 characters is wanted, without / and not beginning with ."); return false; }
    for (const char *c = name; *c; c++)
        if (*c == '/') { say("ERR a file name has no /"); return false; }
    return true;
}

// Whole or not at all: other name, fsync, rename, fsync of the folder.
static bool store(const char *name, const void *bytes, size_t length) {
    int fd = openat(data, ".new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) return false;
    bool ok = write(fd, bytes, length) == (ssize_t)length && fsync(fd) == 0;
    close(fd);
    return ok && renameat(data, ".new", data, name) == 0 && fsync(data) == 0;
}

static ssize_t load(const char *name, char *into, size_t room) {
    int fd = openat(data, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    ssize_t length = read(fd, into, room - 1);
    close(fd);
    if (length >= 0) into[length] = 0;
    return length;
}

// ---- Synced counters: one line of ten digits each, so that a checker sees every single one ------------------------

#define RECORD 11
static pthread_t counter;
static volatile bool counting;
static int counter_file = -1;
static long counter_value;
static useconds_t counter_pause;

static void *count(void *unused) {
    (void)unused;
    while (counting) {
        char record[24];
        snprintf(record, sizeof record, "%010ld\n", counter_value + 1);
        if (pwrite(counter_file, record, RECORD, counter_value * RECORD) != RECORD || fsync(counter_file) != 0) {
            say("COUNT-FAILED %ld: %s", counter_value + 1, strerror(errno));
            counting = false;
            break;
        }
        say("SYNCED %ld", ++counter_value);
        if (counter_pause) usleep(counter_pause);
    }
    return NULL;
}

// The number of whole, right records at the file's beginning; -1 when one before the end is wrong or missing.
static long check_records(int fd) {
    char chunk[RECORD * 512], expected[24];
    for (long n = 0;;) {
        ssize_t got = pread(fd, chunk, sizeof chunk, n * RECORD);
        if (got < 0) return -1;
        for (ssize_t at = 0; at < got; at += RECORD) {
            if (got - at < RECORD) return n;   // a torn last record: it was never called synced
            snprintf(expected, sizeof expected, "%010ld\n", n + 1);
            if (memcmp(chunk + at, expected, RECORD) != 0) {
                // After a crash the file may be longer than what was synced: zeros up to its end are no record.
                struct stat s;
                static const char zeros[RECORD];
                return fstat(fd, &s) == 0 && s.st_size <= (n + 1) * RECORD && memcmp(chunk + at, zeros, RECORD) == 0 ? n : (say("ERR record %ld is wrong", n + 1), -1);
            }
            n++;
        }
        if (got < (ssize_t)sizeof chunk) return n;
    }
}

static void stop_counting(void) {
    if (counter_file < 0) return;
    counting = false;
    pthread_join(counter, NULL);
    close(counter_file);
    counter_file = -1;
}

static void do_count(char *arguments) {
    char *rest = arguments, *verb = strsep(&rest, " "), *name = strsep(&rest, " ");
    if (strcmp(verb, "stop") == 0) {
        stop_counting();
        say("OK %ld", counter_value);
    } else if (strcmp(verb, "check") == 0) {
        if (!valid_name(name)) return;
        int fd = openat(data, name, O_RDONLY | O_CLOEXEC);
        if (fd < 0) { fail(name); return; }
        long n = check_records(fd);
        close(fd);
        if (n >= 0) say("OK %ld", n);
    } else if (strcmp(verb, "start") == 0) {
        if (!valid_name(name)) return;
        stop_counting();
        int fd = openat(data, name, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        if (fd < 0) { fail(name); return; }
        long n = check_records(fd);
        if (n < 0) { close(fd); return; }
        if (ftruncate(fd, n * RECORD) != 0 || fsync(fd) != 0 || fsync(data) != 0) { fail(name); close(fd); return; }
        counter_value = n;
        counter_file = fd;
        counter_pause = rest ? (useconds_t)atol(rest) * 1000 : 0;
        counting = true;
        say("OK from %ld", n);
        pthread_create(&counter, NULL, count, NULL);
    } else say("ERR count start <file> [pause in ms] | count stop | count check <file>");
}

// ---- Ends --------------------------------------------------------------------------------------------------------

static void end(int how) {
    counting = false;
    sync();
    if (mount(NULL, DATA, NULL, MS_REMOUNT | MS_RDONLY, NULL) != 0) poke("/proc/sysrq-trigger", "u");   // files still open
    sync();
    tcdrain(tty);
    reboot(how);
    for (;;) pause();
}

static void *power_button(void *unused) {
    (void)unused;
    struct pollfd fds[16];
    int count = 0;
    char path[64];
    for (int i = 0; i < 16; i++) {
        snprintf(path, sizeof path, "/dev/input/event%d", i);
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0) fds[count++] = (struct pollfd){.fd = fd, .events = POLLIN};
    }
    if (count == 0) { say("WARN no power button"); return NULL; }
    for (;;) {
        if (poll(fds, count, -1) < 0) continue;
        for (int i = 0; i < count; i++) {
            struct input_event event;
            if (!(fds[i].revents & POLLIN) || read(fds[i].fd, &event, sizeof event) != sizeof event) continue;
            if (event.type != EV_KEY || event.code != KEY_POWER || event.value != 1) continue;
            if (ignore_power_button) { say("POWERBUTTON ignored"); continue; }
            say("POWERBUTTON");
            say("SANDLABX-TINY POWEROFF boot=%lu", boot);
            end(RB_POWER_OFF);
        }
    }
}

// ---- Commands ----------------------------------------------------------------------------------------------------

static void do_write(char *arguments) {
    char *text = arguments, *name = strsep(&text, " ");
    if (!valid_name(name)) return;
    if (text == NULL) text = "";
    if (store(name, text, strlen(text))) say("OK %zu bytes", strlen(text));
    else fail(name);
}

static void do_read(char *name) {
    char text[8192];
    if (!valid_name(name)) return;
    if (load(name, text, sizeof text) < 0) { fail(name); return; }
    for (char *c = text; *c; c++)
        if ((unsigned char)*c < ' ') *c = ' ';
    say("OK %s", text);
}

// Bytes that no layer below can shrink or skip.
static void do_fill(char *arguments) {
    char *rest = arguments, *amount = strsep(&rest, " "), *name = rest && *rest ? rest : "fill";
    long mib = atol(amount), done = 0;
    if (mib <= 0) { say("ERR fill <MiB> [file]"); return; }
    if (!valid_name(name)) return;
    int fd = openat(data, name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (fd < 0) { fail(name); return; }
    static uint64_t chunk[131072];   // 1 MiB
    static uint64_t state;
    state ^= (uint64_t)(uptime() * 1e9) | 1;
    for (; done < mib; done++) {
        for (size_t i = 0; i < 131072; i++) {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            chunk[i] = state;
        }
        for (size_t at = 0; at < sizeof chunk;) {
            ssize_t n = write(fd, (char *)chunk + at, sizeof chunk - at);
            if (n <= 0) { say("ERR %s after %ld MiB", strerror(errno), done); close(fd); return; }
            at += n;
        }
        if ((done & 15) == 15 && fdatasync(fd) != 0) break;
    }
    if (fsync(fd) != 0 || done < mib) say("ERR %s after %ld MiB", strerror(errno), done);
    else say("OK %ld MiB", done);
    close(fd);
}

// Runs a command of busybox' shell; its lines come with "| " before them, its exit code last.
static int shell(const char *command, void (*line)(char *)) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) return -1;
    pid_t child = fork();
    if (child == 0) {
        int null = open("/dev/null", O_RDONLY);
        dup2(null, 0), dup2(ends[1], 1), dup2(ends[1], 2);
        if (chdir(DATA) != 0) _exit(126);
        char *environment[] = {"PATH=/bin", "HOME=/data", "TERM=dumb", NULL};
        execle("/bin/busybox", "sh", "-c", command, NULL, environment);
        _exit(127);
    }
    close(ends[1]);
    FILE *output = fdopen(ends[0], "r");
    char text[4096];
    while (fgets(text, sizeof text, output)) {
        text[strcspn(text, "\r\n")] = 0;
        line(text);
    }
    fclose(output);
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static char answer[4096];
static void keep(char *line) { snprintf(answer, sizeof answer, "%s", line); }
static void show(char *line) { say("| %s", line); }

static void do_sh(char *command) {
    int code = shell(command, show);
    if (code == 0) say("OK 0");
    else say("ERR %d", code);
}

static void do_sum(char *name) {
    if (!valid_name(name)) return;
    char command[256];
    if (strchr(name, '\'')) { say("ERR a file name has no '"); return; }
    snprintf(command, sizeof command, "sha256sum < '%s'", name);
    if (shell(command, keep) == 0) say("OK %.64s", answer);
    else say("ERR %s", answer);
}

static void do_rm(char *name) {
    if (!valid_name(name)) return;
    if (unlinkat(data, name, 0) != 0 || fsync(data) != 0) { fail(name); return; }
    sync();
    ioctl(data, FITRIM, &(struct fstrim_range){.len = UINT64_MAX});   // gives the room back to the host, where the disk can discard
    say("OK");
}

static void do_touchmem(char *amount) {
    static char *held;
    static size_t length;
    if (held) munmap(held, length);
    held = NULL;
    length = (size_t)atol(amount) << 20;
    if (length) {
        held = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (held == MAP_FAILED) { held = NULL; fail("touchmem"); return; }
        for (size_t at = 0; at < length; at += 4096) held[at] = (char)(at >> 12 | 1);
    }
    say("OK %zu MiB", length >> 20);
}

static void do_size(char *unused) {
    (void)unused;
    uint64_t bytes;
    int fd = open(DISK, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || ioctl(fd, BLKGETSIZE64, &bytes) != 0) fail(DISK);
    else say("OK %llu", (unsigned long long)bytes);
    close(fd);
}

static void do_info(char *unused) {
    (void)unused;
    struct utsname name;
    struct sysinfo memory;
    struct statvfs fs;
    uname(&name), sysinfo(&memory), fstatvfs(data, &fs);
    say("OK boot=%lu cpus=%ld memory=%lu data=%llu free=%llu kernel=%s", boot, sysconf(_SC_NPROCESSORS_ONLN), memory.totalram * memory.mem_unit,
        (unsigned long long)fs.f_blocks * fs.f_frsize, (unsigned long long)fs.f_bavail * fs.f_frsize, name.release);
}

static void do_ping(char *token) { say("OK pong %s", token); }
static void do_uptime(char *unused) { (void)unused; say("OK %.3f", uptime()); }
static void do_hang(char *unused) { (void)unused; ignore_power_button = true; say("OK the power button is ignored until the next boot"); }
static void do_poweroff(char *unused) { (void)unused; say("OK poweroff"); end(RB_POWER_OFF); }
static void do_reboot(char *unused) { (void)unused; say("OK reboot"); end(RB_AUTOBOOT); }
static void do_panic(char *unused) {
    (void)unused;
    say("OK panic");
    tcdrain(tty);
    poke("/proc/sysrq-trigger", "c");
    say("ERR the kernel did not panic");
}

struct command { const char *name; void (*run)(char *); const char *help; };
static const struct command *first_command;

static void do_help(char *unused) {
    (void)unused;
    for (const struct command *c = first_command; c->name; c++) say("| %-9s %s", c->name, c->help);
    say("OK");
}

static const struct command commands[] = {
    {"ping", do_ping, "<token>: answers pong <token>"},
    {"write", do_write, "<file> <text>: OK once it is on the disk"},
    {"read", do_read, "<file>"},
    {"rm", do_rm, "<file>: and gives its room back (discard)"},
    {"sum", do_sum, "<file>: SHA-256"},
    {"count", do_count, "start <file> [pause in ms] | stop | check <file>: prints SYNCED <n> after each fsync"},
    {"fill", do_fill, "<MiB> [file]: appends random bytes, synced"},
    {"touchmem", do_touchmem, "<MiB>: takes memory and writes to it; 0 gives it back"},
    {"size", do_size, "bytes of the disk"},
    {"info", do_info, "boot count, processors, memory, room on the data partition, kernel"},
    {"uptime", do_uptime, "seconds"},
    {"sh", do_sh, "<command>: runs in busybox' shell; its output has | before each line"},
    {"hang", do_hang, "ignore the power button"},
    {"poweroff", do_poweroff, ""},
    {"reboot", do_reboot, ""},
    {"panic", do_panic, "crash the kernel"},
    {"help", do_help, ""},
    {NULL, NULL, NULL},
};

static const struct command *first_command = commands;

static void obey(char *line) {
    char *arguments = line, *name = strsep(&arguments, " ");
    for (int i = 0; commands[i].name; i++)
        if (strcmp(name, commands[i].name) == 0) { commands[i].run(arguments ? arguments : ""); return; }
    say("ERR unknown command %s; try help", name);
}

int main(void) {
    mount("dev", "/dev", "devtmpfs", MS_NOSUID, NULL);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("sys", "/sys", "sysfs", 0, NULL);
    tty = open("/dev/ttyS0", O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (tty < 0) tty = open("/dev/console", O_RDWR | O_NOCTTY | O_CLOEXEC);

    // No echo and no line editing by the driver: a program at the other end reads answers, nothing else.
    struct termios mode;
    tcgetattr(tty, &mode);
    cfmakeraw(&mode);
    mode.c_oflag = OPOST | ONLCR;
    mode.c_cflag |= CLOCAL | CREAD;
    tcsetattr(tty, TCSAFLUSH, &mode);
    klogctl(8, NULL, 1);   // from here on the kernel speaks over the port only when it panics
    poke("/proc/sys/kernel/sysrq", "1");

    load_modules();
    if (!wait_for(PARTITION, 100)) say("WARN no disk " PARTITION " after 10 s");
    grow_partition();
    bool mounted = mount(PARTITION, DATA, "ext4", MS_NOATIME, "noinit_itable") == 0;
    if (!mounted) say("WARN %s on %s: %s", PARTITION, DATA, strerror(errno));
    data = open(DATA, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (mounted) grow_filesystem();

    char text[32];
    boot = load(".boot", text, sizeof text) > 0 ? strtoul(text, NULL, 10) + 1 : 1;
    snprintf(text, sizeof text, "%lu\n", boot);
    bool counted = mounted && store(".boot", text, strlen(text));
    if (mounted && !counted) say("WARN boot count: %s", strerror(errno));

    pthread_t thread;
    pthread_create(&thread, NULL, power_button, NULL);
    // Without a disk that keeps what is written it still obeys, for whoever looks for the cause, but is not ready.
    say("SANDLABX-TINY %s boot=%lu uptime=%.3f", counted ? "READY" : "BROKEN", boot, uptime());

    static char line[8192], buffer[512];
    size_t length = 0;
    bool too_long = false;
    for (;;) {
        ssize_t got = read(tty, buffer, sizeof buffer);
        if (got <= 0) { usleep(10000); continue; }
        for (ssize_t i = 0; i < got; i++) {
            char c = buffer[i];
            if (c == '\r' || c == '\n') {
                line[length] = 0;
                if (too_long) say("ERR a line has at most %zu bytes", sizeof line - 1);
                else if (length > 0) obey(line);
                length = 0;
                too_long = false;
            } else if (c == '\b' || c == 0x7f) { if (length > 0) length--; }
            else if (c == 0x15 || c == 0x03) { length = 0; too_long = false; }   // Ctrl-U, Ctrl-C: begin anew
            else if ((unsigned char)c < ' ') continue;
            else if (length < sizeof line - 1) line[length++] = c;
            else too_long = true;
        }
    }
}
