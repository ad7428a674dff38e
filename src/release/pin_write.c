/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "release/pin.h"
#include "release/pin_internal.h"

#include <string.h>

bool pin_target_is_set(const struct pin_target *t)
{
	return (!t->pin->tag || cstr_eq(t->pin->tag, t->tag)) &&
	       (!t->pin->digest || cstr_eq(t->pin->digest, t->digest));
}

static char *value_text(const char *tag, const char *digest)
{
	if (!tag || !digest)
		return mem_strdup(tag ? tag : digest ? digest : "(nothing)");
	return mem_printf("%s@%s", tag, digest);
}

static char *pin_value_text(const struct pin *p)
{
	return value_text(p->tag, p->digest);
}

char *pin_target_value_text(const struct pin_target *t)
{
	return value_text(t->pin->tag ? t->tag : NULL, t->pin->digest ? t->digest : NULL);
}

char *pin_target_text(const struct pin_target *t)
{
	AUTO_FREE char *old = pin_value_text(t->pin), *new = pin_target_value_text(t);
	char *text = mem_printf("%s:%u: %s %s -> %s", t->pin->file, t->pin->line, t->pin->image, old, new);
	cstr_make_visible(text);
	return text;
}

struct preview {
	struct strvec *files;
	struct buf *diff;
};

static struct err *preview_file(void *ctx, const char *file, struct str before, struct str after)
{
	struct preview *p = ctx;
	if (str_eq(before, after))
		return NULL;
	strvec_push(p->files, file);
	if (p->diff)
		diff_add(p->diff, file, before, after);
	return NULL;
}

static void changes_of(const struct pin_target *targets, size_t count, struct vec *out)
{
	*out = VEC_OF(struct pin_change);
	for (size_t i = 0; i < count; i++) {
		const struct pin_target *t = &targets[i];
		if (!pin_target_is_set(t))
			vec_push_copy(out,
				&(struct pin_change){
					.pin = t->pin, .tag = t->tag, .digest = t->digest, .env = t->env});
	}
}

struct err *pins_preview(struct repo *r, const char *prefix, const struct pin_target *targets, size_t count,
	struct strvec *files, struct buf *diff)
{
	AUTO(vec_fini) struct vec changes = {0};
	struct preview p = {.files = files, .diff = diff};
	changes_of(targets, count, &changes);
	TRY(manifests_edit(r, prefix, changes.ptr, changes.len, preview_file, &p));
	strvec_sort(files);
	return NULL;
}

struct err *pins_write(struct repo *r, const char *prefix, const struct pin_target *targets, size_t count,
	struct strvec *files)
{
	AUTO(vec_fini) struct vec changes = {0};
	AUTO_STRVEC struct strvec changed = {0};
	TRY(pins_preview(r, prefix, targets, count, &changed, NULL));
	changes_of(targets, count, &changes);
	TRY(manifests_apply(r, prefix, changes.ptr, changes.len));
	if (files)
		strvec_push_all(files, strvec_list(&changed));
	return NULL;
}
