/* SPDX-License-Identifier: Apache-2.0 */
/* Where in a manifest images stand. */
#include "base/mem.h"
#include "base/path.h"
#include "repo/manifest_internal.h"

#include <stdarg.h>
#include <string.h>

/* Problems told of one file; more of them say nothing new. */
#define MAX_PROBLEMS 50

/* On the way to the images that kustomize sets by path: spec/volumes[]/image/reference, and the same below
 * spec/template (kustomize, api/internal/konfig/builtinpluginconsts/images.go). */
enum spot { SPOT_NONE, SPOT_TOP, SPOT_SPEC, SPOT_TEMPLATE, SPOT_POD, SPOT_VOLUMES, SPOT_VOLUME, SPOT_IMAGE };

/* What is known of the place that is looked at. */
struct where {
	const char *key; /* whose value it is; NULL: an item of a list, or the top */
	const char *why; /* nothing here can be changed; NULL */
	bool pod;        /* of a kind that runs pods */
	bool definition; /* of a kind that kustomize leaves alone */
	bool container;  /* the item of a list of containers */
	bool reached;    /* and kustomize sets the image of such an item */
	enum spot spot;
	bool values; /* chart values */
	bool text;   /* texts may name images */
};

static bool one_of(const char *s, const char *const *list)
{
	for (; s && *list; list++)
		if (cstr_eq(s, *list))
			return true;
	return false;
}

static bool manifest_is_kustomization(const char *path)
{
	static const char *const names[] = {"kustomization.yaml", "kustomization.yml", "Kustomization", NULL};
	return one_of(path_base(path), names);
}

void finding_problem(struct finding *f, uint32_t line, const char *fmt, ...)
{
	if (f->problems.len >= MAX_PROBLEMS)
		return;
	va_list ap;
	va_start(ap, fmt);
	struct manifest_problem *p = vec_push(&f->problems);
	p->file = mem_strdup(f->path);
	p->line = line;
	p->text = mem_vprintf(fmt, ap);
	cstr_make_visible(p->text);
	va_end(ap);
}

static const char *why_twice(struct finding *f, const struct manifest_node *key)
{
	return arena_printf(f->arena, "%s:%u: key \"%s\" stands twice in one map", f->path, key->line,
		manifest_text(key));
}

static const char *why_repeated(struct finding *f, const struct manifest_node *n)
{
	return arena_printf(f->arena, "%s:%u: it is part of &%s, which an alias repeats elsewhere", f->path,
		n->line, n->anchor);
}

static bool runs_pods(const char *kind)
{
	static const char *const kinds[] = {"Deployment", "StatefulSet", "DaemonSet", "Job", "CronJob", "Pod",
		"ReplicaSet", "ReplicationController", "PodTemplate", NULL};
	return one_of(kind, kinds);
}

static bool holds_containers(const char *key)
{
	static const char *const keys[] = {"containers", "initContainers", "ephemeralContainers", NULL};
	return one_of(key, keys);
}

/* Those that kustomize looks through, wherever they stand (api/filters/imagetag/legacy.go). */
static bool kustomize_looks_through(const char *key)
{
	static const char *const keys[] = {"containers", "initContainers", NULL};
	return one_of(key, keys);
}

static enum spot spot_below(enum spot at, const char *key)
{
	static const struct {
		enum spot from, to;
		const char *key;
	} steps[] = {{SPOT_TOP, SPOT_SPEC, "spec"}, {SPOT_SPEC, SPOT_TEMPLATE, "template"},
		{SPOT_TEMPLATE, SPOT_POD, "spec"}, {SPOT_SPEC, SPOT_VOLUMES, "volumes"},
		{SPOT_POD, SPOT_VOLUMES, "volumes"}, {SPOT_VOLUME, SPOT_IMAGE, "image"}};
	for (size_t i = 0; i < ARRAY_LEN(steps); i++)
		if (steps[i].from == at && cstr_eq(steps[i].key, key))
			return steps[i].to;
	return SPOT_NONE;
}

static bool holds_texts(const char *key)
{
	static const char *const keys[] = {"env", "args", "command", "data", "stringData", "literals",
		"patch", "patches", "patchesStrategicMerge", "patchesJson6902", "images", NULL};
	return one_of(key, keys);
}

/* "image", "imageName", and what resource definitions call theirs: "runnerImage". */
static bool names_image(const char *key, const struct where *w)
{
	if (cstr_eq(key, "reference")) /* of a volume that is an image */
		return cstr_eq(w->key, "image");
	return cstr_eq(key, "image") || cstr_eq(key, "imageName") || cstr_ends(key, "Image");
}

static struct image_place place_of(const struct where *w, const char *key)
{
	bool set = (w->reached && cstr_eq(key, "image")) ||
		   (w->spot == SPOT_IMAGE && cstr_eq(key, "reference") && !w->definition);
	struct image_place at = {.form = PIN_CRD, .why = w->why, .reached = set || w->values};
	if (w->values)
		at.form = PIN_HELM;
	else if (w->pod && w->container && cstr_eq(key, "image"))
		at.form = PIN_IMAGE;
	return at;
}

/* The name of an image that stands in parts: {registry, repository, tag}, {repo, tag}, {image, tag}. NULL:
 * none does. *key: which of the map's keys then is no image of its own. */
static const char *name_in_parts(
	struct finding *f, const struct manifest_node *map, const char **key, bool *merged)
{
	static const char *const keys[] = {"repository", "repo", "image", "name", NULL};
	bool unused = false;
	bool tagged = manifest_get(map, "tag", &unused) || manifest_get(map, "digest", &unused);
	const char *registry = manifest_text(manifest_get(map, "registry", merged));
	for (size_t i = 0; keys[i]; i++) {
		const char *name = manifest_text(manifest_get(map, keys[i], merged));
		if (!name || (i >= 2 && !tagged))
			continue;
		struct image_parts parts;
		image_split(str_c(name), &parts);
		if (i >= 2 && (parts.tag.ptr || parts.digest.ptr))
			continue;
		*key = keys[i];
		if (!registry || !*registry || cstr_starts(name, f->prefix))
			return name;
		return arena_printf(f->arena, "%s/%s", registry, name);
	}
	return NULL;
}

/* Of the map itself: one of the fields is its own, or stands twice. */
static void look_at_fields(struct finding *f, const struct manifest_node *map, const struct image_fields *p,
	bool *own, const char **why)
{
	*own = false;
	for (size_t i = 0; i < map->count; i++) {
		const struct manifest_node *n = map->items[i];
		if (n != p->at && n != p->tag && n != p->digest)
			continue;
		*own = true;
		if (map->keys[i]->twice && !*why)
			*why = why_twice(f, map->keys[i]);
	}
}

/* True if key *taken of the map was judged here. */
static bool find_parts(
	struct finding *f, const struct manifest_node *map, const struct where *w, const char **taken)
{
	bool merged = false, own = false;
	const char *name = name_in_parts(f, map, taken, &merged);
	if (!name || !cstr_starts(name, f->prefix))
		return false;
	struct image_place at = place_of(w, NULL);
	if (cstr_eq(*taken, "repository"))
		at.form = PIN_HELM;
	struct image_fields fields = {
		.name = name,
		.at = manifest_get(map, *taken, &merged),
		.tag = manifest_get(map, "tag", &merged),
		.digest = manifest_get(map, "digest", &merged),
	};
	look_at_fields(f, map, &fields, &own, &at.why);
	if (merged && !at.why)
		at.why = arena_printf(f->arena, "%s:%u: a part of the image comes through a merge key (<<)",
			f->path, map->line);
	if (own) /* else it is found where it was merged from */
		find_image_fields(f, &fields, &at);
	return true;
}

/* Of {op, path, value}, a step of a JSON patch, its path; NULL if it is none. */
static const char *path_of_patch(const struct manifest_node *map)
{
	bool merged = false;
	return manifest_get(map, "op", &merged) ? manifest_text(manifest_get(map, "path", &merged)) : NULL;
}

/* Does the path of a patch end with this item of a list of containers: ".../containers/0",
 * ".../containers/-"?
 */
static bool is_container_path(struct str path)
{
	ptrdiff_t slash = str_rindex(path, '/');
	if (slash <= 0)
		return false;
	path.len = (size_t)slash;
	return str_ends(path, "/containers") || str_ends(path, "/initContainers");
}

/* What kustomize makes of the value of a patch: patches are applied before images are set. */
static void enter_patch(const char *path, struct where *value)
{
	const char *list = strrchr(path, '/');
	if (list && kustomize_looks_through(list + 1))
		value->key = list + 1;
	if (is_container_path(str_c(path)))
		value->container = value->reached = true;
}

static bool sets_container_image(const char *path)
{
	struct str s = str_c(path);
	s.len -= strlen("/image");
	return is_container_path(s);
}

/* Lists that a kustomize transformer would take: of maps with newName, newTag or digest. */
static bool is_images_list(const struct manifest_node *list)
{
	bool merged = false;
	for (size_t i = 0; list->kind == MANIFEST_LIST && i < list->count; i++)
		if (manifest_get(list->items[i], "newTag", &merged) ||
			manifest_get(list->items[i], "newName", &merged) ||
			manifest_get(list->items[i], "digest", &merged))
			return true;
	return false;
}

static void walk(struct finding *f, const struct manifest_node *n, const struct where *w);

static void enter_typed(const struct manifest_node *map, struct where *w)
{
	bool merged = false;
	const char *kind = manifest_text(manifest_get(map, "kind", &merged));
	if (!kind || !manifest_text(manifest_get(map, "apiVersion", &merged)))
		return;
	w->pod = runs_pods(kind);
	w->definition = cstr_eq(kind, "CustomResourceDefinition");
	w->spot = SPOT_TOP;
	w->values = w->text = false;
}

static void walk_field(struct finding *f, const struct manifest_node *map, size_t i, const struct where *w)
{
	static const char *const values_keys[] = {"valuesInline", "valuesObject", "values", NULL};
	const struct manifest_node *key = map->keys[i], *value = map->items[i];
	const char *name = manifest_text(key);
	struct where sub = *w;
	sub.key = name;
	sub.container = sub.reached = false;
	sub.spot = spot_below(w->spot, name);
	sub.text |= holds_texts(name);
	sub.values |= one_of(name, values_keys);
	if (key->twice && !sub.why)
		sub.why = why_twice(f, key);
	if (value->kind != MANIFEST_SCALAR && value->aliased && !sub.why)
		sub.why = why_repeated(f, value);
	struct image_place at = place_of(w, name);
	at.why = sub.why;
	bool scalar = manifest_text(value) != NULL;
	const char *path = cstr_eq(name, "value") && !key->twice ? path_of_patch(map) : NULL;
	bool patch = scalar && path && cstr_ends(path, "/image");
	if (patch)
		at.reached = sets_container_image(path);
	else if (path)
		enter_patch(path, &sub);
	if (name && scalar && (names_image(name, w) || patch))
		find_image(f, value, &at);
	else if (name && cstr_eq(name, "images") && is_images_list(value))
		find_kustomize_images(f, value, sub.why);
	else
		walk(f, value, &sub);
}

static void walk_map(struct finding *f, const struct manifest_node *map, const struct where *w)
{
	struct where here = *w;
	enter_typed(map, &here);
	const char *taken = NULL;
	bool parts = find_parts(f, map, &here, &taken);
	for (size_t i = 0; i < map->count; i++) {
		const char *name = manifest_text(map->keys[i]);
		if (map->keys[i]->twice)
			finding_problem(f, map->keys[i]->line, "key \"%s\" stands twice in one map", name);
		if (!name)
			walk(f, map->keys[i], &here);
		if (parts && (cstr_eq(name, taken) || cstr_eq(name, "tag") || cstr_eq(name, "digest")))
			continue;
		walk_field(f, map, i, &here);
	}
}

static void walk_list(struct finding *f, const struct manifest_node *list, const struct where *w)
{
	struct where item = *w;
	item.key = NULL;
	item.container = holds_containers(w->key);
	item.reached = kustomize_looks_through(w->key) && !w->definition;
	item.spot = w->spot == SPOT_VOLUMES ? SPOT_VOLUME : SPOT_NONE;
	for (size_t i = 0; i < list->count; i++) {
		const struct manifest_node *n = list->items[i];
		item.why = w->why;
		if (n->kind != MANIFEST_SCALAR && n->aliased && !item.why)
			item.why = why_repeated(f, n);
		walk(f, n, &item);
	}
}

static void walk(struct finding *f, const struct manifest_node *n, const struct where *w)
{
	switch (n->kind) {
	case MANIFEST_MAP:
		walk_map(f, n, w);
		break;
	case MANIFEST_LIST:
		walk_list(f, n, w);
		break;
	case MANIFEST_SCALAR:
	case MANIFEST_ALIAS:
		if (w->text)
			find_in_text(f, n, w->why);
		break;
	}
}

static bool is_values(const struct finding *f, const struct manifest_node *root)
{
	bool merged = false;
	return root->kind == MANIFEST_MAP && !manifest_is_kustomization(f->path) &&
	       !(manifest_get(root, "kind", &merged) && manifest_get(root, "apiVersion", &merged));
}

static void find_document(struct finding *f, const struct manifest_node *root)
{
	struct where top = {.values = is_values(f, root)};
	bool merged = false;
	if (!manifest_is_kustomization(f->path) || root->kind != MANIFEST_MAP) {
		walk(f, root, &top);
		return;
	}
	find_kustomization(f, root);
	/* An empty or odd list is worth a word in this file, as nothing else stands under its name. */
	const struct manifest_node *images = manifest_get(root, "images", &merged);
	if (images && !is_images_list(images))
		find_kustomize_images(f, images, NULL);
	walk(f, root, &top);
}

/* Templates of charts are no YAML before they are filled in. */
static bool is_template(const struct finding *f)
{
	return !manifest_is_kustomization(f->path) && f->text.len &&
	       memmem(f->text.ptr, f->text.len, "{{", 2) != NULL;
}

/* "path:12:3: what" -> 12 and what follows. */
static void broken_text(struct finding *f, struct err *e)
{
	const char *message = err_message(e);
	struct str rest = str_c(message), line = {0};
	if (cstr_starts(message, f->path))
		rest = str_skip(rest, strlen(f->path) + 1);
	uint64_t at = 0;
	struct str after = rest;
	if (str_split(&after, ':', &line) && str_to_u64(line, &at) && at <= UINT32_MAX)
		finding_problem(f, (uint32_t)at, "%s", message);
	else
		finding_problem(f, 0, "%s", message);
	err_free(e);
}

void manifest_find(struct finding *f)
{
	struct err *e = manifest_yaml_parse(f->arena, f->text, f->path, &f->documents);
	if (e)
		f->documents.len = 0;
	if (e && is_template(f)) {
		err_ignore(e, "a template is not read");
		return;
	}
	if (e) {
		broken_text(f, e);
		return;
	}
	for (size_t i = 0; i < f->documents.len; i++) {
		f->document = (uint32_t)i;
		find_document(f, *(struct manifest_node **)vec_at(&f->documents, i));
	}
}
