/* SPDX-License-Identifier: Apache-2.0 */
/* What is found can be changed, what is changed is found again, and no other byte moves. */
#include "base/mem.h"
#include "repo/manifests.h"

#include <stdlib.h>
#include <string.h>

#define PREFIX "reg/ns/"
#define NEW_DIGEST "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void scan(struct str text, const char *path, struct manifest_scan *out)
{
	struct err *e = manifest_scan_text(text, path, "svc", PREFIX, out);
	if (e)
		abort();
}

/* With the tag alone changed, the text is known to the byte: with quotes around it or not. */
static void check_bytes(struct str before, struct str after, const struct pin *p, const char *tag)
{
	size_t end = p->offset + strlen(p->tag);
	for (int quoted = 0; quoted < 2; quoted++) {
		AUTO_BUF struct buf want = {0};
		const char *quote = quoted ? "\"" : "";
		buf_add(&want, before.ptr, p->offset);
		buf_addf(&want, "%s%s%s", quote, tag, quote);
		buf_add(&want, before.ptr + end, before.len - end);
		if (str_eq(buf_str(&want), after))
			return;
	}
	abort();
}

static void change(
	struct str text, const char *path, const struct manifest_scan *s, size_t i, const char *tag)
{
	const struct pin *p = vec_at(&s->pins, i);
	struct pin_change c = {.pin = p, .tag = tag, .digest = NEW_DIGEST, .env = true};
	AUTO_BUF struct buf out = {0};
	AUTO(err_freep) struct err *e = manifest_edit(text, path, PREFIX, &c, 1, &out);
	if (p->problem && !p->repairable) {
		if (!e || out.len)
			abort();
		return;
	}
	if (e)
		abort();
	if (p->tag && !p->digest)
		check_bytes(text, buf_str(&out), p, tag);
	AUTO(manifest_scan_fini) struct manifest_scan again = {0};
	scan(buf_str(&out), path, &again);
	if (again.pins.len != s->pins.len)
		abort();
	const struct pin *q = vec_at(&again.pins, i);
	if (q->problem || strcmp(q->image, p->image) != 0 || !p->tag != !q->tag || !p->digest != !q->digest)
		abort();
	if ((q->tag && strcmp(q->tag, tag) != 0) || (q->digest && strcmp(q->digest, NEW_DIGEST) != 0))
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const paths[] = {"m/x/kustomization.yaml", "m/x/a.yaml", "m/x/values.yaml"};
	static const char *const tags[] = {"v2.0.0-1234567", "1.37"};
	if (size < 1)
		return 0;
	const char *path = paths[data[0] % ARRAY_LEN(paths)];
	struct str text = str_n((const char *)data + 1, size - 1);
	AUTO(manifest_scan_fini) struct manifest_scan s = {0};
	scan(text, path, &s);
	for (size_t i = 0; i < s.pins.len && i < 20; i++)
		change(text, path, &s, i, tags[(data[0] >> 4) % ARRAY_LEN(tags)]);
	return 0;
}
