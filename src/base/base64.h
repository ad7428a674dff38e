/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "base/buf.h"
#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"

/* Standard base64 with padding. */
void base64_add(struct buf *out, struct str s);
MUST_USE struct err *base64_decode(struct str s, struct buf *out);
