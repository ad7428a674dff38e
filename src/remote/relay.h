/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For those that pass on what a registry has, as a cache does: a blob while it comes, and the registry's own
 * lists. Errors and threads: as remote/remote.h. What came of a blob is seen before it is verified: whoever
 * passes it on must keep its end back until remote_relay_blob returns.
 */
#pragma once

#include "remote/remote.h"

/* Told of a download, on the thread that does it. */
struct remote_relay {
	/* Bytes [0, have) of fd (borrowed) are there and more will come, up to size (UINT64_MAX: not told).
	 */
	void (*begun)(void *ctx, int fd, uint64_t have, uint64_t size);
	void (*grew)(void *ctx, uint64_t have);
	/* What was there is void; begun comes again. */
	void (*anew)(void *ctx);
	/* All is there, verified: is the store to have it? NULL: yes. */
	bool (*keep)(void *ctx, uint64_t size);
	void *ctx;
};
/*
 * A blob of which only the digest is known, into the store: verified, and resumed where a try before, or a
 * process before, was cut off. Of what came to the store meanwhile the registry is asked whether it has that.
 * *size is that of the blob.
 */
MUST_USE struct err *remote_relay_blob(struct remote *r, const struct reference *ref, const struct digest *d,
	const struct remote_relay *to, const struct transfer_io *io, uint64_t *size);
/* Does the repository have it, by HEAD? ERR_NOT_FOUND. *size is UINT64_MAX when it is not told. */
MUST_USE struct err *remote_look_at_blob(struct remote *r, const struct reference *ref,
	const struct digest *d, const struct transfer_io *io, uint64_t *size);
/* A page of the tags after last (NULL: from the first), at most n, as the registry sorts them. *more: there
 * is another one. ERR_NOT_FOUND. */
MUST_USE struct err *remote_tags_page(struct remote *r, const struct reference *repo, unsigned n,
	const char *last, const struct transfer_io *io, struct strvec *out, bool *more);
/* What the registry's API lists as being about d (vec of struct descriptor). *offered false: it has no such
 * API, so that its tags tell. */
MUST_USE struct err *remote_referrers(struct remote *r, const struct reference *repo, const struct digest *d,
	const struct transfer_io *io, struct vec *out, bool *offered);
