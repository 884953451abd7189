/* Private: the records of an event file, for those who write one. */
#ifndef COTAN_EVENT_FILE_H
#define COTAN_EVENT_FILE_H

#include "tensor/events.h"
#include "tensor/io/histogram.h"
#include "tensor/io/protobuf.h"

/* Appends an Event whose field of this number, a message or bytes, is `what`. */
ct_status cti_events_put(ct_events *events, int64_t step, int field, const cti_writer *what);
enum { CTI_EVENT_VERSION = 3, CTI_EVENT_GRAPH = 4, CTI_EVENT_SUMMARY = 5 };
/* ct_events_histogram of elements that have been counted. */
ct_status cti_events_histogram(ct_events *events, const char *tag, int64_t step,
                               const cti_histogram *histogram);

#endif
