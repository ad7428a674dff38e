/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small contents that were asked for lately, in memory. Bytes of a digest never change, so nothing here can
 * be out of date: whether a repository has the digest is asked of the store before, each time. Threads: any.
 */
#pragma once

#include "base/buf.h"
#include "store/store.h"

/* Larger ones are better sent from their files. */
#define SMALL_CONTENT_MAX (32u << 10)

struct small_contents;

struct small_contents *small_contents_new(void);
void small_contents_free(struct small_contents *c);
/* store_blob_read into out, which is emptied first; it need not read again what was read not long ago. */
MUST_USE struct err *small_contents_read(
	struct small_contents *c, struct store *s, const struct digest *d, size_t max, struct buf *out);
