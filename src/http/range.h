/* SPDX-License-Identifier: Apache-2.0 */
/* Ranges of RFC 9110, 14: what to send of size bytes. Pure. */
#pragma once

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum range_result { RANGE_WHOLE, RANGE_PART, RANGE_UNSATISFIABLE };
/* header is that of a request; NULL gives RANGE_WHOLE. *from and *length are set for RANGE_PART. */
enum range_result range_parse(const char *header, uint64_t size, uint64_t *from, uint64_t *length);
/* "a-b" of an upload (Content-Range without a unit, as the distribution-spec has it); "bytes a-b/n" is taken
 * too. */
bool content_range_parse(const char *header, uint64_t *from, uint64_t *to);
