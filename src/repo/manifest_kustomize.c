/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kustomizations: their images entries (kustomize, api/types/image.go and api/filters/imagetag), and which of
 * them set the tag of an image that says "kustomized".
 */
#include "base/map.h"
#include "base/mem.h"
#include "base/path.h"
#include "repo/manifest_internal.h"

#include <string.h>

#define MAX_DEPTH 100 /* of kustomizations that take others in */

struct entry {
	const char *name; /* the effective one */
	const struct manifest_node *named_by, *tag, *digest, *suffix;
	bool merged;
};

static bool is_text(const struct manifest_node *n)
{
	const struct manifest_node *v = manifest_resolve(n);
	return v && v->kind == MANIFEST_SCALAR &&
	       (v->style != MANIFEST_PLAIN || v->type || manifest_plain_is_text(str_c(v->text)));
}

static bool is_empty(const struct manifest_node *n)
{
	const char *text = manifest_text(n);
	return !n || (text && !*text);
}

/* As if the key were not there: empty, or null. */
static bool is_unset(const struct manifest_node *n)
{
	static const char *const nulls[] = {"~", "null", "Null", "NULL"};
	const struct manifest_node *v = manifest_resolve(n);
	bool unset = is_empty(v);
	for (size_t i = 0; i < ARRAY_LEN(nulls) && !unset; i++)
		unset = v->kind == MANIFEST_SCALAR && v->style == MANIFEST_PLAIN && !v->type &&
			cstr_eq(v->text, nulls[i]);
	return unset;
}

/* A name that kustomize cannot read: it stops at such a file. */
static bool bad_name(struct finding *f, const struct manifest_node *n, const char *key)
{
	if (is_unset(n) || is_text(n))
		return false;
	finding_problem(f, n->line, "%s: of an images entry is not a text", key);
	return true;
}

static bool read_entry(struct finding *f, const struct manifest_node *map, struct entry *out)
{
	*out = (struct entry){0};
	map = manifest_resolve(map);
	if (map->kind != MANIFEST_MAP) {
		finding_problem(
			f, map->line, "an images entry must be a map with name:, newTag: and the like");
		return false;
	}
	const struct manifest_node *name = manifest_get(map, "name", &out->merged);
	const struct manifest_node *other = manifest_get(map, "newName", &out->merged);
	if (bad_name(f, name, "name") || bad_name(f, other, "newName"))
		return false;
	if (is_unset(name))
		finding_problem(f, map->line, "an images entry has no name:, so it matches nothing");
	out->named_by = is_unset(other) ? name : other;
	out->name = manifest_text(out->named_by);
	out->tag = manifest_get(map, "newTag", &out->merged);
	out->digest = manifest_get(map, "digest", &out->merged);
	out->suffix = manifest_get(map, "tagSuffix", &out->merged);
	return out->name != NULL && *out->name;
}

static const char *key_twice(struct finding *f, const struct manifest_node *map)
{
	for (size_t i = 0; i < map->count; i++)
		if (map->keys[i]->twice)
			return arena_printf(f->arena, "%s:%u: key \"%s\" stands twice in one entry", f->path,
				map->keys[i]->line, manifest_text(map->keys[i]));
	return NULL;
}

static const char *why_not_entry(struct finding *f, const struct manifest_node *item, const struct entry *e)
{
	if (item->kind == MANIFEST_ALIAS)
		return arena_printf(f->arena, "%s:%u: the entry is an alias (*%s): write it out", f->path,
			item->line, item->text);
	if (item->aliased)
		return arena_printf(f->arena, "%s:%u: the entry is &%s, which an alias repeats elsewhere",
			f->path, item->line, item->anchor);
	if (e->merged)
		return arena_printf(f->arena, "%s:%u: a part of the entry comes through a merge key (<<)",
			f->path, item->line);
	if (e->suffix)
		return arena_printf(f->arena, "%s:%u: the tag is put together of newTag and tagSuffix",
			f->path, e->suffix->line);
	return key_twice(f, item);
}

static void find_entry(struct finding *f, const struct manifest_node *item, const char *why)
{
	struct entry e;
	if (!read_entry(f, item, &e))
		return;
	for (size_t i = 0; item->kind == MANIFEST_MAP && i < item->count; i++)
		if (item->keys[i]->twice)
			finding_problem(f, item->keys[i]->line, "key \"%s\" stands twice in one entry",
				manifest_text(item->keys[i]));
	if (!cstr_starts(e.name, f->prefix))
		return;
	struct image_fields fields = {.name = e.name, .at = e.named_by, .tag = e.tag, .digest = e.digest};
	struct image_place at = {
		.form = PIN_KUSTOMIZATION,
		.why = why ? why : why_not_entry(f, item, &e),
		.reached = true,
	};
	find_image_fields(f, &fields, &at);
}

void find_kustomize_images(struct finding *f, const struct manifest_node *list, const char *why)
{
	const struct manifest_node *l = manifest_resolve(list);
	if (l != list && !why)
		why = arena_printf(f->arena, "%s:%u: the list is an alias (*%s): write it out", f->path,
			list->line, list->text);
	if (is_empty(l))
		return;
	if (l->kind != MANIFEST_LIST) {
		finding_problem(f, l->line, "images: must be a list of entries");
		return;
	}
	if (l->aliased && !why)
		why = arena_printf(f->arena, "%s:%u: the list is &%s, which an alias repeats elsewhere",
			f->path, l->line, l->anchor);
	for (size_t i = 0; i < l->count; i++)
		find_entry(f, l->items[i], why);
}

static void add_texts(const struct manifest_node *list, struct strvec *out)
{
	list = manifest_resolve(list);
	for (size_t i = 0; list && list->kind == MANIFEST_LIST && i < list->count; i++) {
		const char *text = manifest_text(list->items[i]);
		if (text)
			strvec_push(out, text);
	}
}

void find_kustomization(struct finding *f, const struct manifest_node *root)
{
	static const char *const parts[] = {"resources", "bases"};
	bool unused = false;
	struct kustomization *k = vec_push(&f->kustomizations);
	k->file = mem_strdup(f->path);
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		add_texts(manifest_get(root, parts[i], &unused), &k->parts);
	add_texts(manifest_get(root, "components", &unused), &k->components);
	k->own_fields =
		manifest_get(root, "configurations", &unused) || manifest_get(root, "transformers", &unused);
	const struct manifest_node *images = manifest_resolve(manifest_get(root, "images", &unused));
	for (size_t i = 0; images && images->kind == MANIFEST_LIST && i < images->count; i++) {
		const struct manifest_node *item = images->items[i];
		const char *name = manifest_text(manifest_get(manifest_resolve(item), "name", &unused));
		const struct manifest_node *tag = manifest_get(manifest_resolve(item), "newTag", &unused);
		const struct manifest_node *digest = manifest_get(manifest_resolve(item), "digest", &unused);
		if (name && (!is_empty(tag) || !is_empty(digest)))
			strvec_push(&k->names, name);
	}
}

/* Which kustomizations take a file or folder in. */
struct users {
	const struct finding *f;
	struct map *by_part; /* path -> struct vec of size_t */
};

static void free_indices(void *v)
{
	vec_fini(v);
	mem_freep(&v);
}

static void add_user(struct map *m, const char *path, size_t index)
{
	struct vec *v = map_get_c(m, path);
	if (!v) {
		v = mem_new(struct vec);
		*v = VEC_OF(size_t);
		map_set_c(m, path, v);
	}
	vec_push_copy(v, &index);
}

static void add_users(struct map *m, const char *dir, const struct strvec *parts, size_t index)
{
	for (size_t p = 0; p < parts->len; p++) {
		AUTO_FREE char *path = path_join(dir, parts->ptr[p]);
		if (!cstr_eq(path, dir))
			add_user(m, path, index);
	}
}

static struct map *index_users(const struct finding *f)
{
	struct map *m = map_new(free_indices);
	for (size_t i = 0; i < f->kustomizations.len; i++) {
		const struct kustomization *k = vec_at(&f->kustomizations, i);
		AUTO_FREE char *dir = path_dir(k->file);
		add_user(m, dir, i); /* its own folder, listed or not: patches and generated things too */
		add_users(m, dir, &k->parts, i);
		add_users(m, dir, &k->components, i);
	}
	return m;
}

struct verdict {
	bool taken; /* by any kustomization */
	bool set;   /* by one with an entry for the image */
	bool own_fields;
	struct map *seen, *seen_components;
	unsigned depth;
};

/* Components set the images of the kustomization that takes them in. */
static void judge_components(
	const struct users *u, const struct kustomization *k, const char *image, struct verdict *v)
{
	AUTO_FREE char *dir = path_dir(k->file);
	for (size_t i = 0; i < k->components.len && !v->set && v->depth < MAX_DEPTH; i++) {
		AUTO_FREE char *path = path_join(dir, k->components.ptr[i]);
		const struct vec *there = map_get_c(u->by_part, path);
		if (map_has(v->seen_components, str_c(path)))
			continue;
		map_set_c(v->seen_components, path, NULL);
		for (size_t n = 0; there && n < there->len && !v->set; n++) {
			const struct kustomization *c =
				vec_at(&u->f->kustomizations, *(const size_t *)vec_at(there, n));
			AUTO_FREE char *own = path_dir(c->file);
			if (!cstr_eq(own, path)) /* it takes that folder in, too */
				continue;
			v->set = strvec_has(&c->names, image);
			v->depth++;
			judge_components(u, c, image, v);
			v->depth--;
		}
	}
}

static void judge_users(const struct users *u, const char *path, const char *image, struct verdict *v)
{
	const struct vec *list = map_get_c(u->by_part, path);
	for (size_t i = 0; list && i < list->len && !v->set; i++) {
		const struct kustomization *k =
			vec_at(&u->f->kustomizations, *(const size_t *)vec_at(list, i));
		if (map_has(v->seen, str_c(k->file)))
			continue;
		map_set_c(v->seen, k->file, NULL);
		v->taken = true;
		v->set = strvec_has(&k->names, image);
		v->own_fields |= k->own_fields;
		judge_components(u, k, image, v);
		AUTO_FREE char *dir = path_dir(k->file);
		v->depth++;
		if (!v->set && v->depth < MAX_DEPTH)
			judge_users(u, dir, image, v);
		v->depth--;
	}
}

static struct verdict judge(const struct users *u, const char *file, const char *image)
{
	AUTO(map_freep) struct map *seen = map_new(NULL);
	AUTO(map_freep) struct map *seen_components = map_new(NULL);
	struct verdict v = {.seen = seen, .seen_components = seen_components};
	AUTO_FREE char *dir = path_dir(file);
	judge_users(u, file, image, &v);
	if (!v.set)
		judge_users(u, dir, image, &v);
	v.seen = v.seen_components = NULL;
	return v;
}

static void add_problem(struct finding *f, const struct sentinel *s, const char *what)
{
	struct manifest_problem *p = vec_push(&f->problems);
	p->file = mem_strdup(s->file);
	p->line = s->line;
	p->sentinel = true;
	p->text = mem_printf("%s:%u: %s:" MANIFEST_SENTINEL ": %s", s->file, s->line, s->image, what);
}

static void judge_sentinel(struct finding *f, const struct users *u, const struct sentinel *s)
{
	struct verdict v = judge(u, s->file, s->image);
	if (!v.taken)
		add_problem(f, s,
			"no kustomization takes this file, so nothing sets the tag and it cannot be pulled");
	else if (!v.set)
		add_problem(f, s,
			"no images entry of its kustomization has this name and a newTag or digest, so it "
			"cannot "
			"be pulled");
	else if (!s->reached && !v.own_fields)
		add_problem(f, s,
			"kustomize sets the tags of containers, not of this field: write the tag here, or "
			"name the "
			"field under configurations:");
}

void judge_sentinels(struct finding *f)
{
	AUTO(map_freep) struct map *by_part = index_users(f);
	struct users u = {.f = f, .by_part = by_part};
	for (size_t i = 0; i < f->sentinels.len; i++)
		judge_sentinel(f, &u, vec_at(&f->sentinels, i));
	size_t kept = 0;
	for (size_t i = 0; i < f->pins.len; i++) {
		struct found_pin *p = vec_at(&f->pins, i);
		bool kustomized = p->untagged && p->reached && p->pin.form != PIN_KUSTOMIZATION &&
				  judge(&u, p->pin.file, p->pin.image).set;
		if (kustomized) {
			pin_fini(&p->pin);
			continue;
		}
		struct found_pin copy = *p;
		*(struct found_pin *)vec_at(&f->pins, kept++) = copy;
	}
	f->pins.len = kept;
}
