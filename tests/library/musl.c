/* What libraries that were compiled for glibc call of it and musl lacks, so that they can be linked
 * with a cotan that was compiled for musl. For tests/library/check.sh alone.
 * Invariant: each does what its name without "_chk" does. */
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

int __vfprintf_chk(FILE *out, int flag, const char *format, va_list arguments) {
    (void)flag;
    return vfprintf(out, format, arguments);
}

int __fprintf_chk(FILE *out, int flag, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int n = __vfprintf_chk(out, flag, format, arguments);
    va_end(arguments);
    return n;
}

int __printf_chk(int flag, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int n = __vfprintf_chk(stdout, flag, format, arguments);
    va_end(arguments);
    return n;
}

int __vsnprintf_chk(char *text, size_t size, int flag, size_t room, const char *format,
                    va_list arguments) {
    (void)flag, (void)room;
    return vsnprintf(text, size, format, arguments);
}

int __snprintf_chk(char *text, size_t size, int flag, size_t room, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int n = __vsnprintf_chk(text, size, flag, room, format, arguments);
    va_end(arguments);
    return n;
}

int __sprintf_chk(char *text, int flag, size_t room, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    int n = __vsnprintf_chk(text, room, flag, room, format, arguments);
    va_end(arguments);
    return n;
}

long __sysconf(int name) { return sysconf(name); }

/* A wish; nothing depends on it. */
int pthread_attr_setaffinity_np(pthread_attr_t *attributes, size_t size, const void *set) {
    (void)attributes, (void)size, (void)set;
    return 0;
}
