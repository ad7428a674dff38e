/* SPDX-License-Identifier: Apache-2.0 */
/* Reading tars by libarchive: one struct for listing and unpacking. Entries and data are borrowed until the
 * next call. */
#pragma once

#include "archive/tar.h"
#include "base/compiler.h"
#include "base/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct archive_entry;

MUST_USE struct err *tar_reader_open(
	byte_source *source, void *ctx, const struct tar_limits *limits, struct tar_reader **out);
void tar_reader_freep(struct tar_reader **r);

/* The next entry within the limits, NULL after the last. */
MUST_USE struct err *tar_reader_next(struct tar_reader *r, struct archive_entry **out);
/* The next piece of the entry's data; *len 0 after the last. Between pieces are holes. */
MUST_USE struct err *tar_reader_data(struct tar_reader *r, const void **p, size_t *len, uint64_t *offset);
/*
 * After the last entry: read what follows to its end. Unless lenient, an archive that stops without its
 * end-of-archive marker is ERR_CORRUPT. ERR_INVALID if it does not end.
 */
MUST_USE struct err *tar_reader_drain(struct tar_reader *r, bool lenient);

/* A name fit for a message: control bytes masked, cut to the room. Returns out. */
#define TAR_NAME_TEXT_MAX 256
const char *tar_name_text(const char *path, char out[TAR_NAME_TEXT_MAX]);
