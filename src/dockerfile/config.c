/* SPDX-License-Identifier: Apache-2.0 */
#include "dockerfile/config.h"

#include "base/clock.h"

#include <stdlib.h>
#include <string.h>

#define HISTORY_COMMENT "cooper.dockerfile.v1"
/* Images with more layers than this cannot be mounted anyway. */
#define BASE_LAYERS_MAX 2000

enum shape { SHAPE_TEXT, SHAPE_STRINGS, SHAPE_OBJECT, SHAPE_LABELS, SHAPE_BOOL, SHAPE_HEALTH };

/* In the order in which the document has them. Env stands where ENV_AT says. */
static const struct {
	const char *key;
	enum shape shape;
} fields[] = {
	{"User", SHAPE_TEXT},
	{"ExposedPorts", SHAPE_OBJECT},
	{"Env", SHAPE_STRINGS},
	{"Entrypoint", SHAPE_STRINGS},
	{"Cmd", SHAPE_STRINGS},
	{"Volumes", SHAPE_OBJECT},
	{"WorkingDir", SHAPE_TEXT},
	{"Labels", SHAPE_LABELS},
	{"StopSignal", SHAPE_TEXT},
	{"ArgsEscaped", SHAPE_BOOL},
	{"Healthcheck", SHAPE_HEALTH},
	{"OnBuild", SHAPE_STRINGS},
	{"Shell", SHAPE_STRINGS},
};

void stage_config_fini(struct stage_config *c)
{
	json_decref(c->top);
	json_decref(c->config);
	strvec_fini(&c->env);
	*c = (struct stage_config){0};
}

static void set_platform(struct stage_config *c, const struct platform *p)
{
	json_set_text(c->top, "architecture", p->arch);
	json_set_text(c->top, "os", p->os);
	if (*p->variant)
		json_set_text(c->top, "variant", p->variant);
	else
		json_object_del(c->top, "variant");
}

static void start(struct stage_config *c, struct arena *a)
{
	*c = (struct stage_config){.arena = a, .top = json_object(), .config = json_object()};
}

void stage_config_scratch(struct stage_config *c, struct arena *a, const struct platform *p)
{
	start(c, a);
	set_platform(c, p);
	stage_config_set(c, "WorkingDir", json_text("/"));
	strvec_push(&c->env, "PATH=" DEFAULT_PATH);
}

static bool all_strings(const json_t *v)
{
	size_t i;
	json_t *item;
	json_array_foreach(v, i, item) if (!json_is_string(item)) return false;
	return true;
}

static bool shape_ok(const json_t *v, enum shape shape)
{
	const char *key;
	json_t *item;
	switch (shape) {
	case SHAPE_TEXT:
		return json_is_string(v);
	case SHAPE_STRINGS:
		return json_is_array(v) && all_strings(v);
	case SHAPE_OBJECT:
		return json_is_object(v);
	case SHAPE_LABELS:
		if (!json_is_object(v))
			return false;
		json_object_foreach((json_t *)v, key, item) if (!json_is_string(item)) return false;
		return true;
	case SHAPE_BOOL:
		return json_is_boolean(v);
	case SHAPE_HEALTH:
		return json_is_object(v);
	}
	return false;
}

static struct err *load_env(struct stage_config *c, const json_t *config, const char *what)
{
	TRY(json_get_strings(config, "Env", what, &c->env));
	if (c->env.len > STAGE_VARIABLES_MAX)
		return err_new(ERR_INVALID, "%s: has more than %d variables", what, STAGE_VARIABLES_MAX);
	return NULL;
}

static struct err *load_fields(struct stage_config *c, json_t *config, const char *what)
{
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		json_t *v = json_object_get(config, fields[i].key);
		if (!v || json_is_null(v))
			continue;
		if (!shape_ok(v, fields[i].shape))
			return err_new(ERR_INVALID, "%s: config.%s has the wrong type", what, fields[i].key);
		if (strcmp(fields[i].key, "Env") == 0)
			TRY(load_env(c, config, what));
		else
			json_object_set(c->config, fields[i].key, v);
	}
	return NULL;
}

static struct err *load_top(struct stage_config *c, json_t *doc, const char *what)
{
	static const char *const keys[] = {"author", "architecture", "os", "variant", "os.version"};
	for (size_t i = 0; i < ARRAY_LEN(keys); i++) {
		const char *text = NULL;
		TRY(json_get_string(doc, keys[i], what, &text));
		if (text && *text)
			json_set_text(c->top, keys[i], text);
	}
	struct strvec features AUTO_STRVEC = {0};
	TRY(json_get_strings(doc, "os.features", what, &features));
	if (features.len)
		json_object_set_new(c->top, "os.features", json_from_strings(strvec_list(&features)));
	return NULL;
}

static struct history *push_history(struct stage_config *c)
{
	struct history *h = arena_new_of(c->arena, struct history);
	h->before = c->history;
	c->history = h;
	return h;
}

static struct err *load_entry(struct stage_config *c, const json_t *entry, bool *empty, const char *what)
{
	if (!json_is_object(entry))
		return err_new(ERR_INVALID, "%s: an entry of history is no object", what);
	struct history *h = push_history(c);
	const struct {
		const char *key;
		const char **to;
	} texts[] = {{"created", &h->created}, {"created_by", &h->created_by}, {"author", &h->author},
		{"comment", &h->comment}};
	for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
		const char *text = NULL;
		TRY(json_get_string(entry, texts[i].key, what, &text));
		*texts[i].to = arena_strdup(c->arena, text);
	}
	TRY(json_get_bool(entry, "empty_layer", what, empty));
	h->empty = *empty;
	return NULL;
}

/* One entry for each layer: entries beyond the layers are said to be empty, layers beyond the entries get
 * one. */
static struct err *load_history(
	struct stage_config *c, const json_t *history, size_t layers, const char *what)
{
	for (size_t i = 0; i < json_array_size(history); i++) {
		bool empty = false;
		TRY(load_entry(c, json_array_get(history, i), &empty, what));
		if (!empty && c->layers == layers)
			((struct history *)c->history)->empty = true;
		else if (!empty)
			c->layers++;
	}
	for (; c->layers < layers; c->layers++)
		push_history(c)->comment = "layer of the base image without a history entry";
	return NULL;
}

static struct err *load(struct stage_config *c, struct str text, const char *what)
{
	json_t *doc AUTO_JSON = NULL, *config = NULL, *history = NULL, *rootfs = NULL, *diff_ids = NULL;
	TRY(json_parse(text, what, &doc));
	if (!json_is_object(doc))
		return err_new(ERR_INVALID, "%s: not an object", what);
	TRY(load_top(c, doc, what));
	TRY(json_get_object(doc, "config", what, &config));
	TRY(load_fields(c, config, what));
	TRY(json_get_array(doc, "history", what, &history));
	TRY(json_get_object(doc, "rootfs", what, &rootfs));
	TRY(json_get_array(rootfs, "diff_ids", what, &diff_ids));
	if (json_array_size(diff_ids) > BASE_LAYERS_MAX)
		return err_new(ERR_INVALID, "%s: has more than %d layers", what, BASE_LAYERS_MAX);
	return load_history(c, history, json_array_size(diff_ids), what);
}

struct err *stage_config_load(struct stage_config *c, struct arena *a, struct str text, const char *what)
{
	struct stage_config made AUTO(stage_config_fini) = {0};
	start(&made, a);
	TRY(load(&made, text, what));
	*c = made;
	made = (struct stage_config){0};
	return NULL;
}

void stage_config_default_platform(struct stage_config *c, const struct platform *p)
{
	if (!json_object_get(c->top, "os") || !json_object_get(c->top, "architecture"))
		set_platform(c, p);
}

void stage_config_copy(const struct stage_config *from, struct stage_config *to)
{
	*to = (struct stage_config){
		.arena = from->arena,
		.top = json_copy(from->top),
		.config = json_copy(from->config),
		.history = from->history,
		.layers = from->layers,
	};
	strvec_push_all(&to->env, strvec_list(&from->env));
}

void stage_config_set(struct stage_config *c, const char *key, json_t *value)
{
	if (value)
		json_object_set_new(c->config, key, value);
	else
		json_object_del(c->config, key);
}

/* The value under key, for this config alone: copied if another stage's config has it too. */
static json_t *own(struct stage_config *c, const char *key, json_t *(*make)(void))
{
	json_t *old = json_object_get(c->config, key);
	if (old && old->refcount == 1)
		return old;
	json_t *mine = old ? json_copy(old) : make();
	json_object_set_new(c->config, key, mine);
	return mine;
}

void stage_config_add_key(struct stage_config *c, const char *key, const char *name, json_t *value)
{
	/* By way of a text, as a name may hold bytes that are no UTF-8. */
	json_t *text AUTO_JSON = json_text(name);
	json_object_set_new(own(c, key, json_object), json_string_value(text), value);
}

void stage_config_add_item(struct stage_config *c, const char *key, json_t *value)
{
	json_array_append_new(own(c, key, json_array), value);
}

const char *stage_config_text(const struct stage_config *c, const char *key)
{
	const char *s = json_string_value(json_object_get(c->config, key));
	return s ? s : "";
}

void stage_config_list(const struct stage_config *c, const char *key, struct strvec *out)
{
	size_t i;
	json_t *v;
	json_array_foreach(json_object_get(c->config, key), i, v) strvec_push(out, json_string_value(v));
}

const char *stage_config_cwd(const struct stage_config *c)
{
	const char *cwd = stage_config_text(c, "WorkingDir");
	return *cwd == '/' ? cwd : "/";
}

void stage_config_history(struct stage_config *c, const char *created_by, bool layer, int64_t created)
{
	char when[CLOCK_TEXT_MAX];
	struct history *h = push_history(c);
	h->created = arena_strdup(c->arena, clock_rfc3339(created, when));
	h->created_by = arena_strdup(c->arena, created_by);
	h->comment = HISTORY_COMMENT;
	h->line = c->line;
	h->empty = !layer;
	c->layers += layer;
}

/* Of struct history *, the last one first. */
static struct vec history_entries(const struct stage_config *c)
{
	struct vec entries = VEC_OF(const struct history *);
	for (const struct history *h = c->history; h; h = h->before)
		vec_push_copy(&entries, &h);
	return entries;
}

void stage_config_lines(const struct stage_config *c, struct vec *out)
{
	struct vec entries AUTO(vec_fini) = history_entries(c);
	for (size_t i = entries.len; i-- > 0;)
		vec_push_copy(out, &(*(const struct history **)vec_at(&entries, i))->line);
}

static json_t *history_document(const struct stage_config *c)
{
	struct vec entries AUTO(vec_fini) = history_entries(c);
	json_t *out = json_array();
	for (size_t i = entries.len; i-- > 0;) {
		const struct history *h = *(const struct history **)vec_at(&entries, i);
		json_t *e = json_object();
		json_set_text(e, "created", h->created);
		json_set_text(e, "created_by", h->created_by);
		json_set_text(e, "author", h->author);
		json_set_text(e, "comment", h->comment);
		if (h->empty)
			json_object_set_new(e, "empty_layer", json_true());
		json_array_append_new(out, e);
	}
	return out;
}

static int by_name(const void *a, const void *b)
{
	const char *const *x = a, *const *y = b;
	return strcmp(*x, *y);
}

/* A map's keys have no order of their own: sorted, so that equal configs give equal bytes. */
static json_t *sorted(json_t *o)
{
	size_t n = json_object_size(o), i = 0;
	struct vec keys AUTO(vec_fini) = VEC_OF(const char *);
	const char *key;
	json_t *v;
	json_object_foreach(o, key, v) vec_push_copy(&keys, &key);
	vec_sort(&keys, by_name);
	json_t *out = json_object();
	for (i = 0; i < n; i++) {
		key = *(const char **)vec_at(&keys, i);
		json_object_set(out, key, json_object_get(o, key));
	}
	return out;
}

static json_t *health_document(json_t *o)
{
	static const char *const keys[] = {
		"Test", "Interval", "Timeout", "StartPeriod", "StartInterval", "Retries"};
	json_t *out = json_object();
	for (size_t i = 0; i < ARRAY_LEN(keys); i++)
		if (json_object_get(o, keys[i]))
			json_object_set(out, keys[i], json_object_get(o, keys[i]));
	return out;
}

static json_t *config_document(const struct stage_config *c)
{
	json_t *out = json_object();
	for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
		const char *key = fields[i].key;
		json_t *v = json_object_get(c->config, key);
		if (strcmp(key, "Env") == 0) {
			if (c->env.len)
				json_object_set_new(out, key, json_from_strings(strvec_list(&c->env)));
			continue;
		}
		bool empty = !v || (json_is_string(v) && json_string_length(v) == 0) || json_is_false(v) ||
			     (json_is_object(v) && json_object_size(v) == 0) ||
			     (json_is_array(v) && json_array_size(v) == 0);
		if (empty)
			continue;
		if (fields[i].shape == SHAPE_OBJECT || fields[i].shape == SHAPE_LABELS)
			json_object_set_new(out, key, sorted(v));
		else if (fields[i].shape == SHAPE_HEALTH)
			json_object_set_new(out, key, health_document(v));
		else
			json_object_set(out, key, v);
	}
	return out;
}

json_t *stage_config_document(const struct stage_config *c, int64_t created)
{
	static const char *const before[] = {"architecture", "author"};
	static const char *const after[] = {"os", "os.features", "os.version"};
	char when[CLOCK_TEXT_MAX];
	json_t *out = json_object();
	for (size_t i = 0; i < ARRAY_LEN(before); i++)
		if (json_object_get(c->top, before[i]))
			json_object_set(out, before[i], json_object_get(c->top, before[i]));
	json_object_set_new(out, "config", config_document(c));
	json_set_text(out, "created", clock_rfc3339(created, when));
	json_object_set_new(out, "history", history_document(c));
	for (size_t i = 0; i < ARRAY_LEN(after); i++)
		if (json_object_get(c->top, after[i]))
			json_object_set(out, after[i], json_object_get(c->top, after[i]));
	json_t *rootfs = json_object();
	json_set_text(rootfs, "type", "layers");
	json_object_set_new(rootfs, "diff_ids", json_array());
	json_object_set_new(out, "rootfs", rootfs);
	if (json_object_get(c->top, "variant"))
		json_object_set(out, "variant", json_object_get(c->top, "variant"));
	return out;
}
