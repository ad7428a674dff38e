/* SPDX-License-Identifier: Apache-2.0 */
#include "dockerfile/lower_internal.h"

#include "base/ignore.h"
#include "base/mem.h"

#include <string.h>

static bool same_image(struct lower *lw, const char *a, const char *b)
{
	const char *x = NULL, *y = NULL;
	struct err *no_x AUTO(err_freep) = image_name(lw->a, a, &x);
	struct err *no_y AUTO(err_freep) = image_name(lw->a, b, &y);
	return !no_x && !no_y && strcmp(x, y) == 0;
}

const struct named_context *lower_find_context(struct lower *lw, const char *name)
{
	const struct named_context *plain = NULL;
	if (strcmp(name, "scratch") == 0 || strcmp(name, "context") == 0)
		return NULL;
	for (size_t i = 0; i < lw->rq->context_count; i++) {
		const struct named_context *c = &lw->rq->contexts[i];
		const char *platform = strstr(c->name, "::");
		const char *key =
			platform ? arena_strndup(lw->a, c->name, (size_t)(platform - c->name)) : c->name;
		if (!str_eq_nocase(str_c(key), name) && !same_image(lw, key, name))
			continue;
		if (platform && strcmp(platform + 2, lw->platform.text) == 0)
			return c;
		if (!platform)
			plain = c;
	}
	return plain;
}

/* Read now, so that a malformed pattern is told with its file's name and not by the step that uses it. */
static struct err *read_ignores(struct str text, const char *path, struct strvec *out)
{
	struct ignore *compiled AUTO(ignore_freep) = NULL;
	struct err *why = ignore_parse(text, out);
	if (!why)
		why = ignore_new(strvec_list(out), &compiled);
	return why ? err_wrap(why, "%s", path) : NULL;
}

/* The ignore patterns of a local source. */
static struct err *local_ignores(struct lower *lw, const char *local, struct strvec *out)
{
	const struct dockerfile_request *rq = lw->rq;
	if (strcmp(local, "context") == 0) {
		if (!rq->ignore_text.ptr)
			return NULL;
		return read_ignores(
			rq->ignore_text, rq->ignore_path ? rq->ignore_path : ".dockerignore", out);
	}
	if (!rq->host || !rq->host->read_file)
		return NULL;
	struct buf text AUTO_BUF = {0};
	bool found = false;
	TRY(rq->host->read_file(rq->host->ctx, local, ".dockerignore", &text, &found));
	if (!found)
		return NULL;
	char *path AUTO_FREE = mem_printf("%s:.dockerignore", local);
	return read_ignores(buf_str(&text), path, out);
}

/* A context that is made by other steps: what the ignore file leaves of it, owned by root as a local one is.
 */
static struct err *made_context(struct lower *lw, struct node **out)
{
	struct strvec exclude AUTO_STRVEC = {0};
	TRY(local_ignores(lw, "context", &exclude));
	const char *path = lw->rq->context_path ? lw->rq->context_path : "/";
	const char *const sources[] = {path + 1, NULL};
	struct file_action copy = {.kind = FILE_COPY,
		.input = 1,
		.sources = sources,
		.dir_contents = true,
		.exclude = exclude.len ? strvec_list(&exclude) : NULL,
		.dest = "/"};
	struct op op = {.kind = OP_FILE, .file = {.actions = &copy, .action_count = 1}};
	struct node *inputs[] = {NULL, lw->rq->context};
	struct node_label label = {
		.name = "[internal] load build context", .where = {.file = lw->rq->path}, .hidden = true};
	TRY(graph_node(lw->g, &op, inputs, ARRAY_LEN(inputs), &label, out));
	map_set_c(lw->locals, "context", *out);
	return NULL;
}

struct err *lower_local(struct lower *lw, const char *local, struct node **out)
{
	*out = map_get_c(lw->locals, local);
	if (*out)
		return NULL;
	if (lw->rq->context && strcmp(local, "context") == 0)
		return made_context(lw, out);
	struct strvec exclude AUTO_STRVEC = {0};
	TRY(local_ignores(lw, local, &exclude));
	struct op op = {.kind = OP_LOCAL,
		.local = {.name = local, .exclude = exclude.len ? strvec_list(&exclude) : NULL}};
	bool main_context = strcmp(local, "context") == 0;
	struct node_label label = {
		.name = main_context ? "[internal] load build context"
				     : arena_printf(lw->a, "[internal] load %s", local),
		.where = {.file = lw->rq->path},
		.hidden = true,
	};
	TRY(graph_node(lw->g, &op, NULL, 0, &label, out));
	map_set_c(lw->locals, local, *out);
	if (!strvec_has(&lw->out->used_locals, local))
		strvec_push(&lw->out->used_locals, local);
	return NULL;
}

static struct base_source *new_source(struct lower *lw, const char *key)
{
	struct base_source *s = mem_new(struct base_source);
	map_set_c(lw->sources, key, s);
	return s;
}

/* "name:tag" and what the host made of it, in one. */
static const char *exact_name(struct lower *lw, const char *name, const char *pinned)
{
	const char *digest = pinned ? strrchr(pinned, '@') : NULL;
	if (!digest)
		return name;
	return arena_printf(lw->a, "%.*s%s", (int)strcspn(name, "@"), name, digest);
}

static struct node_label source_label(
	struct lower *lw, struct stage *user, const struct instr *by, const char *text)
{
	struct node_label label = {.where = lower_range(lw, user, by ? by->node : user->text->from.node)};
	label.name = text;
	if (by)
		return label;
	/* start_stage already counted this step as the first. */
	user->step--;
	label.name = lower_step_name(lw, user, text);
	return label;
}

static struct err *need_image(struct lower *lw, const char *ref, struct stage *user, const struct instr *by,
	const struct base_source **out)
{
	const char *name = NULL;
	TRY(image_name(lw->a, ref, &name));
	const char *platform = user->platform.text;
	const char *key = arena_printf(lw->a, "image %s %s", name, platform);
	*out = map_get_c(lw->sources, key);
	if (*out)
		return NULL;
	const struct dockerfile_host *host = lw->rq->host;
	if (!host || !host->image_config)
		return err_new(ERR_UNSUPPORTED, "image %s: there is nothing to ask for images", name);
	char *pinned AUTO_FREE = NULL;
	struct buf config AUTO_BUF = {0};
	struct err *why = host->image_config(host->ctx, name, platform, lw->rq->pull, &config, &pinned);
	if (why)
		return err_wrap(why, "image %s", ref);
	if (!by && config.len && memmem(config.ptr, config.len, "OnBuild", strlen("OnBuild")))
		lower_count_triggers(lw, user, &config);
	const char *exact = exact_name(lw, name, pinned);
	/* The tag, not its pin: the host remembers the pin under this very node, and the solver is given the
	 * same. */
	struct op op = {.kind = OP_IMAGE, .image = {.ref = name, .platform = platform, .pull = lw->rq->pull}};
	struct node_label label = source_label(lw, user, by, arena_printf(lw->a, "FROM %s", exact));
	struct node *node = NULL;
	TRY(graph_node(lw->g, &op, NULL, 0, &label, &node));
	struct base_source *s = new_source(lw, key);
	s->node = node;
	s->config = config;
	config = (struct buf){0};
	s->display = exact;
	s->keep_owner = true;
	if (pinned && !strvec_has(&lw->out->pins, exact))
		strvec_push(&lw->out->pins, exact);
	*out = s;
	return NULL;
}

/* A context by URL: a repository, or an archive to unpack. */
static struct err *url_node(
	struct lower *lw, const char *url, const struct node_label *label, struct node **out)
{
	struct op op = {.kind = OP_GIT};
	if (git_url_is(url)) {
		TRY(git_url_parse(lw->a, url, &op.git));
		return graph_node(lw->g, &op, NULL, 0, label, out);
	}
	if (!http_url_is(url))
		return err_new(ERR_INVALID, "\"%s\" is neither a git repository nor an http(s) URL", url);
	const char *file = http_url_file(lw->a, url);
	op = (struct op){.kind = OP_HTTP, .http = {.url = url, .filename = file}};
	struct node *inputs[2] = {NULL, NULL};
	TRY(graph_node(lw->g, &op, NULL, 0, label, &inputs[1]));
	const char *const sources[] = {file, NULL};
	struct file_action copy = {.kind = FILE_COPY,
		.input = 1,
		.sources = sources,
		.dest = "/",
		.dest_is_dir = true,
		.unpack = true};
	struct op unpack = {.kind = OP_FILE, .file = {.actions = &copy, .action_count = 1}};
	struct node_label hidden = {.name = label->name, .where = label->where, .hidden = true};
	return graph_node(lw->g, &unpack, inputs, 2, &hidden, out);
}

struct err *lower_context_source(struct lower *lw, const struct named_context *c, struct stage *user,
	const struct instr *by, const struct base_source **out)
{
	if (c->image) {
		const char *ref = cstr_starts(c->image, "docker-image://")
					  ? c->image + strlen("docker-image://")
					  : c->image;
		return need_image(lw, ref, user, by, out);
	}
	const char *key = arena_printf(lw->a, "context %s", c->name);
	*out = map_get_c(lw->sources, key);
	if (*out)
		return NULL;
	struct node *node = NULL;
	if (c->local) {
		TRY(lower_local(lw, c->local, &node));
	} else if (c->url) {
		struct node_label label =
			source_label(lw, user, by, arena_printf(lw->a, "context %s", c->name));
		TRY(url_node(lw, c->url, &label, &node));
	} else {
		return err_new(ERR_INVALID, "build context %s names nothing", c->name);
	}
	struct base_source *s = new_source(lw, key);
	s->node = node;
	*out = s;
	return NULL;
}

struct err *lower_source(struct lower *lw, const char *name, struct stage *user, const struct instr *by,
	const struct base_source **out)
{
	const struct named_context *c = lower_find_context(lw, name);
	if (c)
		return lower_context_source(lw, c, user, by, out);
	return need_image(lw, name, user, by, out);
}

/* Is the name that of this stage or a later one? Then it is a mistake, not an image. */
static struct err *not_before(struct lower *lw, const struct stage *st, const struct from_ref *ref)
{
	size_t later = lower_find_stage(lw, ref->name, lw->stage_count, ref->allow_index);
	if (later == lw->stage_count)
		return NULL;
	const char *own = st->text->name ? st->text->name : arena_printf(lw->a, "%zu", st->index);
	if (later == st->index)
		return err_new(ERR_INVALID, "circular dependency detected on stage: %s", own);
	return err_hint(
		err_new(ERR_INVALID,
			"cannot copy from stage \"%s\", it needs to be defined before current stage \"%s\"",
			ref->name, own),
		"move the stage \"%s\" above this one", ref->name);
}

struct err *lower_from(struct lower *lw, struct stage *st, const struct instr *by, const struct from_ref *ref,
	struct from_result *out)
{
	*out = (struct from_result){.keep_owner = true};
	size_t index = lower_find_stage(lw, ref->name, st->index, ref->allow_index);
	if (index < lw->stage_count) {
		TRY(lower_need(lw, index, st->trigger_at.line ? st->trigger_at : ref->at));
		out->node = lw->stages[index].root;
		return NULL;
	}
	TRY(lower_at(lw, st, ref->at, not_before(lw, st, ref)));
	if (strcmp(ref->name, "scratch") == 0)
		return NULL;
	uint64_t number = 0;
	if (ref->allow_index && str_to_u64(str_c(ref->name), &number) && !lower_find_context(lw, ref->name))
		return lower_at(lw, st, ref->at,
			err_new(ERR_INVALID,
				"stage index %s is out of range: there are %zu stages before this one",
				ref->name, st->index));
	const struct base_source *src = NULL;
	struct err *why = lower_source(lw, ref->name, st, by, &src);
	if (why)
		return lower_at(lw, st, ref->at, why);
	out->node = src->node;
	out->keep_owner = src->keep_owner;
	return NULL;
}
