/* Preloaded into a Python process: its wall clock runs ahead by the seconds in a file of 8 bytes.
 *
 * Only calls that Python itself makes are answered so. The C libraries wait on conditions by the
 * kernel's wall clock; a clock that only they see to step would make them wait for the step, which
 * on a machine whose clock really steps they do not do.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t *ahead_s;

__attribute__((constructor)) static void map_step(void) {
    const char *path = getenv("STEPPED_CLOCK_FILE");
    int file = path ? open(path, O_RDONLY) : -1;
    if (file < 0) return;
    void *found = mmap(NULL, sizeof(int64_t), PROT_READ, MAP_SHARED, file, 0);
    if (found != MAP_FAILED) ahead_s = found;
    close(file);
}

static int is_python(const void *caller) {
    Dl_info found;
    if (!dladdr(caller, &found)) return 0;
    const char *slash = strrchr(found.dli_fname, '/');
    const char *name = slash ? slash + 1 : found.dli_fname;
    return !strncmp(name, "python", 6) || !strncmp(name, "libpython", 9);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    long failed = syscall(SYS_clock_gettime, clock, now);
    if (failed || clock != CLOCK_REALTIME || !ahead_s || !*ahead_s) return (int)failed;
    if (is_python(__builtin_return_address(0))) now->tv_sec += *ahead_s;
    return 0;
}
