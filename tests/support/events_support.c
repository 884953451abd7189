/* The reader of event files.
 * It decodes no more than tests ask for, and repairs nothing.
 * Invariant: every record that it hands out has passed both of its checksums. */
#include "tests/support/events_support.h"

/* --- Frames ----------------------------------------------------------------------------------- */

/* CRC32C as it is defined: the remainder of the bits, least significant of each byte first, divided
 * by x^32 + 0x1edc6f41, all ones at first and inverted at the end, read in reverse. */
static uint32_t crc32c(const unsigned char *bytes, size_t length) {
    uint32_t remainder = 0xffffffff, reversed = 0;
    for (size_t i = 0; i < 8 * length; i++) {
        uint32_t bit = bytes[i / 8] >> i % 8 & 1, top = remainder >> 31;
        remainder = remainder << 1 ^ (bit != top ? 0x1edc6f41u : 0);
    }
    for (int i = 0; i < 32; i++) reversed |= (remainder >> i & 1) << (31 - i);
    return ~reversed;
}

static uint64_t number_at(const unsigned char *bytes, int size) {
    uint64_t value = 0;
    for (int i = 0; i < size; i++) value |= (uint64_t)bytes[i] << 8 * i;
    return value;
}

static bool checks(const unsigned char *bytes, size_t length) {
    uint32_t crc = crc32c(bytes, length);
    uint32_t masked = (crc >> 15 | crc << 17) + 0xa282ead8u;
    return number_at(bytes + length, 4) == masked;
}

static size_t frame_at(const event_file *file, size_t at, view *record) {
    size_t left = file->length - at;
    if (left < 12) return 0;
    cr_assert(checks(file->bytes + at, 8), "the length at byte %zu", at);
    uint64_t length = number_at(file->bytes + at, 8);
    if (left < length + 16) return 0;
    *record = (view){file->bytes + at + 12, (size_t)length};
    cr_assert(checks(record->at, record->length), "the record at byte %zu", at);
    return (size_t)length + 16;
}

/* --- Messages --------------------------------------------------------------------------------- */

static uint64_t varint(view *message) {
    uint64_t value = 0;
    for (int shift = 0; shift < 70; shift += 7) {
        cr_assert_gt(message->length, 0);
        unsigned char byte = *message->at++;
        message->length--;
        value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) return value;
    }
    cr_assert(false, "a varint of more than ten bytes");
    return 0;
}

bool next_field(view *message, field *out) {
    if (message->length == 0) return false;
    uint64_t key = varint(message);
    *out = (field){.number = (int)(key >> 3)};
    cr_assert_gt(out->number, 0);
    switch (key & 7) {
    case 0: out->varint = varint(message); return true;
    case 1: out->bytes.length = 8; break;
    case 2: out->bytes.length = (size_t)varint(message); break;
    case 5: out->bytes.length = 4; break;
    default: cr_assert(false, "wire type %d", (int)(key & 7));
    }
    cr_assert_leq(out->bytes.length, message->length);
    out->bytes.at = message->at;
    message->at += out->bytes.length;
    message->length -= out->bytes.length;
    return true;
}

field field_of(view message, int number, int nth) {
    for (field f; next_field(&message, &f);) {
        if (f.number == number && nth-- == 0) return f;
    }
    return (field){0};
}

double double_of(view eight_bytes) {
    double value;
    cr_assert_eq(eight_bytes.length, sizeof value);
    memcpy(&value, eight_bytes.at, sizeof value);
    return value;
}

float float_of(view four_bytes) {
    float value;
    cr_assert_eq(four_bytes.length, sizeof value);
    memcpy(&value, four_bytes.at, sizeof value);
    return value;
}

bool text_is(view text, const char *expected) {
    return text.at && text.length == strlen(expected) &&
           memcmp(text.at, expected, text.length) == 0;
}

/* --- Files ------------------------------------------------------------------------------------ */

static event event_of(view record) {
    return (event){.wall_time = double_of(field_of(record, 1, 0).bytes),
                   .step = (int64_t)field_of(record, 2, 0).varint,
                   .version = field_of(record, 3, 0).bytes,
                   .graph = field_of(record, 4, 0).bytes,
                   .summary = field_of(record, 5, 0).bytes};
}

static void load(event_file *file, const char *path) {
    FILE *in = fopen(path, "rb");
    cr_assert_not_null(in, "%s", path);
    fseek(in, 0, SEEK_END);
    file->length = (size_t)ftell(in);
    rewind(in);
    file->bytes = malloc(file->length + 1);
    cr_assert_eq(fread(file->bytes, 1, file->length, in), file->length);
    fclose(in);
}

event_file read_events(const char *in) {
    event_file file = {0};
    if (!in) in = folder;
    DIR *dir = opendir(in);
    cr_assert_not_null(dir, "%s", in);
    for (struct dirent *entry; (entry = readdir(dir));) {
        char path[1024];
        if (!strstr(entry->d_name, "tfevents")) continue;
        cr_assert(!file.bytes, "two event files in %s", in);
        snprintf(path, sizeof path, "%s/%s", in, entry->d_name);
        load(&file, path);
    }
    closedir(dir);
    cr_assert_not_null(file.bytes, "no event file in %s", in);
    size_t at = 0;
    view record;
    for (size_t n; (n = frame_at(&file, at, &record)) > 0; at += n) {
        file.events = realloc(file.events, (size_t)(file.count + 1) * sizeof *file.events);
        file.events[file.count++] = event_of(record);
    }
    file.torn = file.length - at;
    cr_assert(file.count > 0 && text_is(file.events[0].version, "brain.Event:2"));
    return file;
}

void free_events(event_file *file) {
    free(file->bytes);
    free(file->events);
    *file = (event_file){0};
}

/* The nth value with this tag, at a step unless it is -1. */
static view nth_value(const event_file *file, const char *tag, int64_t step, int64_t nth) {
    for (int64_t i = 0; i < file->count; i++) {
        view summary = file->events[i].summary;
        if (!summary.at || (step >= 0 && file->events[i].step != step)) continue;
        for (field value; next_field(&summary, &value);) {
            if (text_is(field_of(value.bytes, 1, 0).bytes, tag) && nth-- == 0) return value.bytes;
        }
    }
    return (view){0};
}

view value_of(const event_file *file, const char *tag, int64_t step) {
    return nth_value(file, tag, step, 0);
}

int64_t count_values(const event_file *file, const char *tag) {
    int64_t n = 0;
    while (nth_value(file, tag, -1, n).at) n++;
    return n;
}

double scalar_of(const event_file *file, const char *tag, int64_t step) {
    view value = value_of(file, tag, step);
    cr_assert_not_null(value.at, "no '%s' at step %lld", tag, (long long)step);
    return (double)float_of(field_of(value, 2, 0).bytes);
}
