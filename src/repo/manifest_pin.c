/* SPDX-License-Identifier: Apache-2.0 */
/* What was found, as pins: their parts, the bytes that hold them, and what is wrong with them. */
#include "base/mem.h"
#include "repo/manifest_internal.h"

#include <string.h>

#define TEMPLATE "{{"
/* Of what messages and lists repeat of a name that is none. */
#define SHOWN_MAX 300

static char *shown(struct str s)
{
	char *copy = mem_strndup(s.ptr, s.len < SHOWN_MAX ? s.len : SHOWN_MAX);
	cstr_make_visible(copy);
	return copy;
}

static char *copy_or_null(struct str s)
{
	return s.ptr ? shown(s) : NULL;
}

/* What of a scalar's bytes stands for its value, byte by byte; false if quotes or folding changed any. */
static bool raw_value(const struct finding *f, const struct manifest_node *n, size_t *begin)
{
	size_t quote = n->style == MANIFEST_SINGLE || n->style == MANIFEST_DOUBLE;
	size_t len = strlen(n->text);
	*begin = n->begin + quote;
	return n->end - n->begin == len + 2 * quote && memcmp(f->text.ptr + *begin, n->text, len) == 0;
}

static const char *explain(struct finding *f, const struct manifest_node *n, const char *what)
{
	return arena_printf(f->arena, "%s:%u: %s", f->path, n->line, what);
}

const char *scalar_why_fixed(struct finding *f, const struct manifest_node *n)
{
	size_t begin;
	if (n->kind == MANIFEST_ALIAS)
		return arena_printf(f->arena, "%s:%u: it is an alias (*%s): write the value out", f->path,
			n->line, n->text);
	if (n->kind != MANIFEST_SCALAR)
		return explain(f, n, "it is a list or a map, not a text");
	if (n->anchor)
		return arena_printf(f->arena, "%s:%u: it has an anchor (&%s): aliases of it would change too",
			f->path, n->line, n->anchor);
	if (n->type)
		return explain(f, n, "it has a YAML tag (!): write it without");
	if (n->style == MANIFEST_BLOCK)
		return explain(f, n, "it is a block of text (| or >): write it on the line of its key");
	if (!raw_value(f, n, &begin))
		return explain(f, n, "it is written with escapes or over several lines");
	return NULL;
}

static bool is_no_text(const struct manifest_node *n)
{
	return n->kind == MANIFEST_SCALAR && n->style == MANIFEST_PLAIN && !n->type &&
	       !manifest_plain_is_text(str_c(n->text));
}

/* part: of the value of n. */
static struct manifest_slot slot_of(const struct finding *f, const struct manifest_node *n, struct str part)
{
	size_t begin;
	if (!part.ptr || n->kind != MANIFEST_SCALAR || !raw_value(f, n, &begin))
		return (struct manifest_slot){0};
	size_t offset = (size_t)(part.ptr - n->text);
	return (struct manifest_slot){.node = n, .begin = begin + offset, .offset = offset, .len = part.len};
}

struct found_pin *found_pin_new(struct finding *f, const struct manifest_node *n,
	const struct image_parts *parts, const struct image_place *at)
{
	struct found_pin *p = vec_push(&f->pins);
	p->reached = at->reached;
	p->pin = (struct pin){
		.file = mem_strdup(f->path),
		.service = mem_strdup(f->service),
		.line = n->line,
		.column = n->column,
		.document = f->document,
		.offset = n->begin,
		.form = at->form,
		.image = shown(parts->name),
		.name = shown(str_skip(parts->name, strlen(f->prefix))),
		.tag = copy_or_null(parts->tag),
		.digest = copy_or_null(parts->digest),
	};
	return p;
}

static void set_place(struct found_pin *p)
{
	const struct manifest_slot *s = p->tag.node ? &p->tag : &p->digest;
	if (s->node)
		p->pin.offset = s->begin;
}

void found_pin_problem(struct found_pin *p, const char *text)
{
	if (!text || (p->pin.problem && !p->pin.readable))
		return;
	mem_freep(&p->pin.problem);
	p->pin.problem = mem_strdup(text);
	p->pin.readable = false;
	cstr_make_visible(p->pin.problem);
}

void found_pin_fixed(struct found_pin *p, const char *text)
{
	if (!text || p->pin.problem)
		return;
	found_pin_problem(p, text);
	p->pin.readable = true;
}

void found_pin_check(struct finding *f, struct found_pin *p, const struct image_parts *parts)
{
	const char *fault = image_fault(f->prefix, parts);
	if (fault && !p->pin.problem)
		p->pin.problem = mem_printf("%s:%u: %s%s%s%s%s %s", f->path, p->pin.line, p->pin.image,
			p->pin.tag ? ":" : "", p->pin.tag ? p->pin.tag : "", p->pin.digest ? "@" : "",
			p->pin.digest ? p->pin.digest : "", fault);
	p->untagged = !parts->tag.ptr && !parts->digest.ptr;
	p->pin.readable &= !fault && !p->untagged;
	const char *what =
		p->pin.form == PIN_KUSTOMIZATION
			? "has an images entry without newTag and digest: its tag stands elsewhere"
			: "has neither a tag nor a digest, so what is pulled can change at any time";
	if (p->untagged && !p->pin.problem)
		p->pin.problem = mem_printf("%s:%u: %s %s", f->path, p->pin.line, p->pin.image, what);
}

static bool is_sentinel(const struct image_parts *parts)
{
	return str_eq_c(parts->tag, MANIFEST_SENTINEL) && !parts->digest.ptr;
}

static void add_sentinel(
	struct finding *f, const struct manifest_node *n, struct str image, const struct image_place *at)
{
	struct sentinel *s = vec_push(&f->sentinels);
	s->file = mem_strdup(f->path);
	s->image = shown(image);
	s->line = n->line;
	s->reached = at->reached;
}

void find_image(struct finding *f, const struct manifest_node *n, const struct image_place *at)
{
	const struct manifest_node *value = manifest_resolve(n);
	if (strstr(value->text, TEMPLATE))
		return;
	if (!cstr_starts(value->text, f->prefix)) {
		find_in_text(f, n, at->why);
		return;
	}
	struct image_parts parts;
	struct str text = str_c(value->text);
	image_split(value->style == MANIFEST_BLOCK ? str_trim(text) : text, &parts);
	if (is_sentinel(&parts)) {
		add_sentinel(f, n, parts.name, at);
		return;
	}
	struct found_pin *p = found_pin_new(f, n, &parts, at);
	found_pin_problem(p, at->why);
	found_pin_fixed(p, scalar_why_fixed(f, n));
	if (n == value) {
		p->tag = slot_of(f, n, parts.tag);
		p->digest = slot_of(f, n, parts.digest);
	}
	set_place(p);
	found_pin_check(f, p, &parts);
}

/* Tag and digest of fields, which may both stand in the field of the tag. Gives what is wrong with them, or
 * NULL. */
static const char *parts_of_fields(
	const struct image_fields *p, struct image_parts *out, const struct manifest_node **digest_at)
{
	*out = (struct image_parts){.name = str_c(p->name)};
	*digest_at = p->tag;
	const char *tag = manifest_text(p->tag), *digest = manifest_text(p->digest);
	if (tag && *tag) {
		struct str rest = str_c(tag);
		str_split(&rest, '@', &out->tag);
		if (rest.ptr)
			out->digest = rest;
	}
	if (digest && *digest) {
		if (out->digest.ptr)
			return "the digest stands twice: in the tag and on its own";
		out->digest = str_c(digest);
		*digest_at = p->digest;
	}
	if ((p->tag && !tag) || (p->digest && !digest))
		return "the tag or the digest is a list or a map, not a text";
	return NULL;
}

static void check_field(struct finding *f, struct found_pin *p, const struct manifest_node *n)
{
	if (!n || !manifest_text(n) || !*manifest_text(n))
		return;
	found_pin_fixed(p, scalar_why_fixed(f, n));
	if (!p->pin.problem && is_no_text(n)) {
		found_pin_problem(p, arena_printf(f->arena,
					     "%s:%u: %s is a number or the like to YAML, not a text: put it "
					     "in quotes",
					     f->path, n->line, n->text));
		p->pin.repairable = true;
	}
}

void find_image_fields(struct finding *f, const struct image_fields *fields, const struct image_place *at)
{
	struct image_parts parts;
	const struct manifest_node *digest_at = NULL;
	const char *fault = parts_of_fields(fields, &parts, &digest_at);
	const char *tag = manifest_text(fields->tag);
	if (strstr(fields->name, TEMPLATE) || (tag && strstr(tag, TEMPLATE)))
		return;
	const struct manifest_node *n = parts.tag.ptr || !fields->digest ? fields->tag : fields->digest;
	n = n ? n : fields->at;
	if (!fault && is_sentinel(&parts)) {
		add_sentinel(f, n, parts.name, at);
		return;
	}
	struct found_pin *p = found_pin_new(f, n, &parts, at);
	found_pin_problem(p, at->why);
	if (fault)
		found_pin_problem(p, explain(f, n, fault));
	check_field(f, p, fields->tag);
	check_field(f, p, fields->digest);
	if (fields->tag)
		p->tag = slot_of(f, fields->tag, parts.tag);
	if (parts.digest.ptr)
		p->digest = slot_of(f, digest_at, parts.digest);
	set_place(p);
	bool repairable = p->pin.repairable;
	found_pin_check(f, p, &parts);
	p->pin.repairable = repairable && image_fault(f->prefix, &parts) == NULL;
}
