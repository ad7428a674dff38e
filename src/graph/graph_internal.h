/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of src/graph only. */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "graph/node.h"

/* Appends the canonical bytes of op to out. */
void op_canonical(const struct op *op, struct buf *out);

/* A copy of op whose memory is all in a. */
void op_copy(struct arena *a, const struct op *from, struct op *to);

/* Does op keep the rules of node.h over that many inputs? */
MUST_USE struct err *op_check(const struct op *op, size_t input_count);
