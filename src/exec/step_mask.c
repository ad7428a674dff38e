/* SPDX-License-Identifier: Apache-2.0 */
/* Values of secrets in what programs write are shown as "***", wherever pieces of output are cut. */
#include "exec/step_internal.h"

#include <string.h>

/* How many bytes at p are a secret's value; 0 if none. *partial: they could become one with more bytes. */
static size_t secret_at(const struct step *s, const char *p, size_t len, bool *partial)
{
	size_t longest = 0;

	*partial = false;
	for (size_t i = 0; i < s->masked.len; i++) {
		size_t want = strlen(s->masked.ptr[i]);
		if (want <= len && memcmp(p, s->masked.ptr[i], want) == 0)
			longest = want > longest ? want : longest;
		else if (want > len && memcmp(p, s->masked.ptr[i], len) == 0)
			*partial = true;
	}
	return longest;
}

void step_mask(struct step *s, int stream, struct str piece, bool last, struct buf *out)
{
	struct buf *held = &s->held[stream - 1];
	size_t i = 0;

	buf_addstr(held, piece);
	while (i < held->len) {
		bool partial;
		size_t n = secret_at(s, held->ptr + i, held->len - i, &partial);
		if (partial && !last)
			break;
		if (n)
			buf_adds(out, "***");
		else
			buf_addc(out, held->ptr[i]);
		i += n ? n : 1;
	}
	buf_consume(held, i);
}
