/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 decoding shared by str, buf, json and path. */
#pragma once

#include "base/str.h"

#include <stdint.h>

/*
 * Bytes of the well-formed UTF-8 sequence that s begins with (1 to 4), its code point in *rune if not
 * NULL. 0 if s is empty or begins with something else.
 */
size_t str_utf8_next(struct str s, uint32_t *rune);
