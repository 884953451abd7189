/* Options of a command line, strictly: the programs of this folder share it.
 *
 *     int64_t epochs = 3;
 *     const option list[] = {
 *         {"--epochs", "N", "passes over the training data", OPTION_INTEGER, &epochs, 1, 1000},
 *     };
 *     int status = options_parse("train", "Trains a network.", list, 1, argc, argv);
 *     if (status >= 0) return status;      // --help: 0, a usage error: 2, no space left: 4
 *
 * Values come as "--name value" or "--name=value". */
#ifndef EXAMPLES_OPTIONS_H
#define EXAMPLES_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum {
    OPTION_FLAG,    /* no value; bool */
    OPTION_INTEGER, /* int64_t in low..high */
    OPTION_NUMBER,  /* double above 0, at most `high` */
    OPTION_CHOICE,  /* const char *, one of the words in `metavar`, which '|' separates */
    OPTION_TEXT,    /* const char *, any but the empty one */
} option_kind;

typedef struct {
    const char *name;    /* "--epochs" */
    const char *metavar; /* "N" in the help; "on|off" */
    const char *help;
    option_kind kind;
    void *value; /* the default stands there */
    int64_t low, high;
} option;

enum { EXIT_USAGE = 2, EXIT_DATA = 3, EXIT_IO = 4 };

/* Returns -1 to go on, or the status to exit with after the help or a message. */
int options_parse(const char *program, const char *about, const option list[], int n, int argc,
                  char *const argv[]);

/* What a stranger wrote, quoted and made fit for a terminal: at most 64 bytes of it, those that
 * are not printable as \xHH. By value, so that one message can hold several. */
typedef struct {
    char text[4 * 64 + 6];
} shown;
shown show(const char *text);

#endif
