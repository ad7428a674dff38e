/* SPDX-License-Identifier: Apache-2.0 */
/* Time. Units: nanoseconds since the epoch (UTC) unless a name says seconds. Nothing here enters a digest. */
#pragma once

#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"

#include <pthread.h>
#include <stdint.h>

#define CLOCK_SECOND INT64_C(1000000000)

/* Wall clock. COOPER_FAKE_TIME (seconds since the epoch) shifts it, for tests. */
int64_t clock_now(void);
int64_t clock_monotonic(void);
/* A condition whose waits end by the monotonic clock. */
void clock_cond_init(pthread_cond_t *cond);
/* Until it is signalled (or for no reason, as such waits may end), or clock_monotonic is until. */
void clock_cond_wait(pthread_cond_t *cond, pthread_mutex_t *held, int64_t until);
/* RFC 3339 in UTC with seconds ("2026-01-02T03:04:05Z"); fraction only if not zero. */
#define CLOCK_TEXT_MAX 40
const char *clock_rfc3339(int64_t ns, char out[CLOCK_TEXT_MAX]);
/* ERR_INVALID also outside 1678 to 2261: some images say 0001-01-01 for "no time". */
MUST_USE struct err *clock_parse_rfc3339(struct str text, int64_t *out);
/* HTTP dates (RFC 9110, 5.6.7, the preferred form). */
MUST_USE struct err *clock_parse_http(struct str text, int64_t *out);
/* A person's duration: "0.4s", "12.3s", "2m05s", "1h02m". */
const char *clock_duration(int64_t ns, char out[CLOCK_TEXT_MAX]);
/* How long ago, in one unit: "1 second", "12 minutes", "3 hours", "45 days". */
const char *clock_age(int64_t ns, char out[CLOCK_TEXT_MAX]);
/* A person's size: "812 B", "1.2 MB" (powers of 1000). */
const char *size_text(uint64_t bytes, char out[CLOCK_TEXT_MAX]);
