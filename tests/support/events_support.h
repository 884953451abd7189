/* A reader of event files for tests, which shares nothing with the writer: frames with a CRC by
 * long division, and fields of messages. */
#ifndef COTAN_TESTS_EVENTS_SUPPORT_H
#define COTAN_TESTS_EVENTS_SUPPORT_H

#include "tests/support/io_support.h"

typedef struct {
    const unsigned char *at;
    size_t length;
} view;

/* A field of a message; `bytes` is its content, of eight or four bytes for numbers of that size. */
typedef struct {
    int number;
    uint64_t varint;
    view bytes;
} field;

/* Takes the next field; false at the end. What is malformed fails the test. */
bool next_field(view *message, field *out);
/* The field of that number, the nth from 0; {0} when there is none. */
field field_of(view message, int number, int nth);
double double_of(view eight_bytes);
float float_of(view four_bytes);
bool text_is(view text, const char *expected);

typedef struct {
    double wall_time;
    int64_t step;
    view graph, summary, version; /* the one that it has; the others are NULL */
} event;

typedef struct {
    unsigned char *bytes; /* of malloc */
    size_t length;
    event *events; /* of malloc */
    int64_t count;
    size_t torn; /* bytes of a last record that is not whole */
} event_file;

/* The only event file in the folder, or with a folder of NULL in that of the test. */
event_file read_events(const char *in);
void free_events(event_file *file);
/* The value of a summary with this tag at this step; an empty view when there is none. */
view value_of(const event_file *file, const char *tag, int64_t step);
/* How many values with this tag there are. */
int64_t count_values(const event_file *file, const char *tag);
/* The scalar with this tag at this step; fails the test when there is none. */
double scalar_of(const event_file *file, const char *tag, int64_t step);

#endif
