/* SPDX-License-Identifier: Apache-2.0 */
#include "repo/manifest_internal.h"

#include <string.h>

/* New bytes of one scalar. */
struct splice {
	const struct manifest_node *node;
	size_t begin, len; /* bytes of the file that go */
	size_t offset;     /* of the scalar's value: what goes there is as long */
	const char *bytes;
};

struct edit {
	struct finding f;
	size_t next;        /* pin to look at first: changes come in the order of pins */
	struct vec splices; /* of struct splice, by place */
};

static void edit_fini(struct edit *e)
{
	finding_fini(&e->f);
	vec_fini(&e->splices);
}

static struct err *refuse(const struct pin *p, const char *path, const char *what)
{
	return err_new(ERR_INVALID, "%s:%u: %s: %s", path, p->line, p->image, what);
}

/* The pin of a change as it stands in the text now. */
static struct err *find_pin(struct edit *e, const struct pin *want, const struct found_pin **out)
{
	size_t count = e->f.pins.len;
	for (size_t i = 0; i < count; i++) {
		size_t at = (e->next + i) % count;
		const struct found_pin *p = vec_at(&e->f.pins, at);
		const struct pin *is = &p->pin;
		if (is->offset == want->offset && is->document == want->document && is->form == want->form &&
			cstr_eq(is->image, want->image) && cstr_eq(is->tag, want->tag) &&
			cstr_eq(is->digest, want->digest)) {
			*out = p;
			e->next = at + 1;
			return NULL;
		}
	}
	return refuse(want, e->f.path, "it is no longer there: the file has changed since it was read");
}

static struct err *check_change(const struct edit *e, const struct found_pin *p, const struct pin_change *c)
{
	const struct pin *pin = &p->pin;
	const char *path = e->f.path;
	if (pin->problem && !pin->repairable)
		return err_new(ERR_INVALID, "%s", pin->problem);
	if (pin->form == PIN_ENV && !c->env)
		return refuse(
			pin, path, "it stands in a text of env or args, which is changed only when asked to");
	if (pin->tag && (!c->tag || !image_tag_valid(str_c(c->tag))))
		return err_new(ERR_INVALID, "%s:%u: \"%s\" is no tag of an image", path, pin->line,
			c->tag ? c->tag : "");
	if (cstr_eq(c->tag, MANIFEST_SENTINEL))
		return refuse(pin, path, "the tag \"" MANIFEST_SENTINEL "\" stands for no image");
	if (pin->digest && !c->digest)
		return refuse(pin, path, "it names a digest, and that of the new image is not known");
	if (pin->digest && !image_digest_valid(str_c(c->digest)))
		return err_new(ERR_INVALID, "%s:%u: \"%s\" is no sha256 digest", path, pin->line, c->digest);
	if ((pin->tag && !p->tag.node) || (pin->digest && !p->digest.node) || (!pin->tag && !pin->digest))
		return refuse(pin, path, "there are no bytes of it that could be changed");
	return NULL;
}

static void add_splice(struct edit *e, const struct manifest_slot *slot, const char *bytes)
{
	if (slot->node)
		vec_push_copy(&e->splices, &(struct splice){.node = slot->node,
						   .begin = slot->begin,
						   .len = slot->len,
						   .offset = slot->offset,
						   .bytes = bytes});
}

static int by_begin(const void *a, const void *b)
{
	const struct splice *x = a, *y = b;
	return x->begin < y->begin ? -1 : x->begin > y->begin;
}

static struct err *plan(struct edit *e, const struct pin_change *changes, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const struct found_pin *p = NULL;
		TRY(find_pin(e, changes[i].pin, &p));
		TRY(check_change(e, p, &changes[i]));
		add_splice(e, &p->tag, changes[i].tag);
		add_splice(e, &p->digest, changes[i].digest);
	}
	vec_sort(&e->splices, by_begin);
	for (size_t i = 1; i < e->splices.len; i++) {
		const struct splice *a = vec_at(&e->splices, i - 1), *b = vec_at(&e->splices, i);
		if (a->begin + a->len > b->begin)
			return err_new(
				ERR_INVALID, "%s:%u: one pin is changed twice", e->f.path, b->node->line);
	}
	return NULL;
}

/* The value a scalar has after the splices from index first on that are its own; *next: the first that is
 * not. */
static void new_value(const struct edit *e, size_t first, struct buf *out, size_t *next)
{
	const struct splice *s = vec_at(&e->splices, first);
	const struct manifest_node *n = s->node;
	size_t at = 0, i = first;
	for (; i < e->splices.len; i++) {
		s = vec_at(&e->splices, i);
		if (s->node != n)
			break;
		buf_add(out, n->text + at, s->offset - at);
		buf_adds(out, s->bytes);
		at = s->offset + s->len;
	}
	buf_adds(out, n->text + at);
	*next = i;
}

/* The text with all splices. A plain scalar that YAML would no longer take for a text gets quotes. */
static void apply(const struct edit *e, struct buf *out)
{
	const char *text = e->f.text.ptr;
	size_t at = 0;
	for (size_t i = 0, next; i < e->splices.len; i = next) {
		const struct manifest_node *n = ((const struct splice *)vec_at(&e->splices, i))->node;
		AUTO_BUF struct buf value = {0};
		new_value(e, i, &value, &next);
		bool quote = n->style == MANIFEST_PLAIN && !manifest_plain_is_text(buf_str(&value));
		buf_add(out, text + at, n->begin - at);
		at = n->begin;
		buf_adds(out, quote ? "\"" : "");
		for (size_t k = i; k < next; k++) {
			const struct splice *s = vec_at(&e->splices, k);
			buf_add(out, text + at, s->begin - at);
			buf_adds(out, s->bytes);
			at = s->begin + s->len;
		}
		buf_add(out, text + at, n->end - at);
		at = n->end;
		buf_adds(out, quote ? "\"" : "");
	}
	buf_add(out, text + at, e->f.text.len - at);
}

/* Comparing what was with what came out of the edit. */
struct comparison {
	const struct edit *edit;
	size_t met; /* splices whose scalar was met */
};

/* The first splice of a scalar; their count if it has none. */
static size_t splice_of(const struct edit *e, const struct manifest_node *n)
{
	size_t low = 0, high = e->splices.len;
	while (low < high) {
		size_t mid = low + (high - low) / 2;
		if (((const struct splice *)vec_at(&e->splices, mid))->begin < n->begin)
			low = mid + 1;
		else
			high = mid;
	}
	bool has = low < e->splices.len && ((const struct splice *)vec_at(&e->splices, low))->node == n;
	return has ? low : e->splices.len;
}

static bool same_scalar(struct comparison *c, const struct manifest_node *a, const struct manifest_node *b)
{
	size_t first = splice_of(c->edit, a), next;
	if (first == c->edit->splices.len)
		return a->style == b->style && cstr_eq(a->text, b->text);
	AUTO_BUF struct buf want = {0};
	new_value(c->edit, first, &want, &next);
	c->met += next - first;
	bool quoted = a->style == MANIFEST_PLAIN && b->style == MANIFEST_DOUBLE;
	return cstr_eq(b->text, buf_cstr(&want)) && (a->style == b->style || quoted);
}

static bool same(struct comparison *c, const struct manifest_node *a, const struct manifest_node *b)
{
	if (a->kind != b->kind || a->count != b->count || !cstr_eq(a->anchor, b->anchor) ||
		!cstr_eq(a->type, b->type))
		return false;
	if (a->kind == MANIFEST_ALIAS)
		return cstr_eq(a->text, b->text);
	if (a->kind == MANIFEST_SCALAR)
		return same_scalar(c, a, b);
	for (size_t i = 0; i < a->count; i++) {
		if (a->keys && !same(c, a->keys[i], b->keys[i]))
			return false;
		if (!same(c, a->items[i], b->items[i]))
			return false;
	}
	return true;
}

static struct err *verify(const struct edit *e, struct str text)
{
	const struct vec *before = &e->f.documents;
	AUTO(vec_fini) struct vec after = VEC_OF(struct manifest_node *);
	struct comparison c = {.edit = e};
	struct err *why = manifest_yaml_parse(e->f.arena, text, e->f.path, &after);
	if (why)
		return err_wrap(why, "the change would break the file");
	bool equal = before->len == after.len;
	for (size_t i = 0; i < before->len && equal; i++)
		equal = same(&c, *(struct manifest_node **)vec_at(before, i),
			*(struct manifest_node **)vec_at(&after, i));
	if (!equal || c.met != e->splices.len)
		return err_new(ERR_INVALID, "%s: the change would alter more than the pin", e->f.path);
	return NULL;
}

struct err *manifest_edit(struct str text, const char *path, const char *prefix,
	const struct pin_change *changes, size_t count, struct buf *out)
{
	AUTO(edit_fini) struct edit e = {.splices = VEC_OF(struct splice)};
	finding_init(&e.f, text, path, "", prefix);
	manifest_find(&e.f);
	if (!e.f.documents.len && e.f.problems.len)
		return err_new(
			ERR_INVALID, "%s", ((const struct manifest_problem *)vec_at(&e.f.problems, 0))->text);
	TRY(plan(&e, changes, count));
	AUTO_BUF struct buf edited = {0};
	apply(&e, &edited);
	TRY(verify(&e, buf_str(&edited)));
	buf_addstr(out, buf_str(&edited));
	return NULL;
}
