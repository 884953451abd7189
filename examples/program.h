/* How the programs of this folder meet what is around them: signals, a reader that went away, a
 * device without room.
 *
 *     program_begin();
 *     int status = work();             // results that are files are written first
 *     return program_end("train", status);
 */
#ifndef EXAMPLES_PROGRAM_H
#define EXAMPLES_PROGRAM_H

#include <stdbool.h>

/* From here on a reader of standard output that goes away (`| head`) ends nothing: writing to it
 * fails, and program_end says so. Programs that are started from here are not concerned. */
void program_begin(void);

/* From here on the first Ctrl-C, request to end (SIGTERM) or loss of the terminal (SIGHUP) is only
 * noted; the second one acts as by default. What is ignored stays ignored, as under nohup. */
void program_catch_interrupts(void);
bool program_interrupted(void);

/* The exit status: 128 and the signal that was noted, else `status`, else EXIT_IO after a message
 * when standard output could not be written. */
int program_end(const char *program, int status);

#endif
