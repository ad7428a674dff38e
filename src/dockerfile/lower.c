/* SPDX-License-Identifier: Apache-2.0 */
#include "dockerfile/lower_internal.h"

#include "base/mem.h"
#include "dockerfile/check.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

/* What the instructions of one file may make in all; a file that copies its environment into 10,000 steps
 * stops here. */
#define LOWER_BYTES_MAX ((size_t)64 << 20)

/* Steps that matching the patterns of all its expansions may take. */
#define LOWER_GLOB_MAX ((size_t)64 << 20)

static const char *const proxy_names[] = {"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy",
	"FTP_PROXY", "ftp_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", NULL};

static const char *const builtin_args[] = {"BUILDKIT_SYNTAX", "BUILDKIT_DOCKERFILE_CHECK",
	"BUILDKIT_CACHE_MOUNT_NS", "BUILDKIT_CONTEXT_KEEP_GIT_DIR", "BUILDKIT_INLINE_CACHE",
	"BUILDKIT_MULTI_PLATFORM", "BUILDKIT_SANDBOX_HOSTNAME", "BUILDKIT_BUILD_NAME", "SOURCE_DATE_EPOCH",
	"BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE", NULL};

static bool in_list(const char *const *list, const char *s)
{
	for (; *list; list++)
		if (strcmp(*list, s) == 0)
			return true;
	return false;
}

void dockerfile_build_fini(struct dockerfile_build *b)
{
	json_decref(b->config);
	vec_fini(&b->history_lines);
	strvec_fini(&b->used_locals);
	strvec_fini(&b->pins);
	*b = (struct dockerfile_build){0};
}

struct err *lower_charge(struct lower *lw, size_t bytes)
{
	lw->spent += bytes;
	if (lw->spent > LOWER_BYTES_MAX)
		return err_new(ERR_INVALID, "%s: its instructions expand to more than %zu bytes in all",
			lw->rq->path, LOWER_BYTES_MAX);
	return NULL;
}

struct err *lower_set_variable(struct strvec *env, const char *key, const char *value)
{
	envlist_set(env, key, value);
	if (env->len > STAGE_VARIABLES_MAX)
		return err_new(ERR_INVALID, "more than %d variables", STAGE_VARIABLES_MAX);
	return NULL;
}

struct err *lower_at(const struct lower *lw, const struct stage *st, struct pos at, struct err *why)
{
	if (!why)
		return NULL;
	if (st && st->trigger_at.line) {
		why = err_wrap(why, "ONBUILD trigger of %s", st->trigger_of);
		at = st->trigger_at;
	}
	return diag_place(lw->rq->path, at, why);
}

struct source_range lower_range(const struct lower *lw, const struct stage *st, const struct ast_node *n)
{
	if (st->trigger_at.line)
		return (struct source_range){
			lw->rq->path, st->trigger_at.line, st->text->from.node->end_line};
	return (struct source_range){lw->rq->path, n->line, n->end_line};
}

void lower_warn(
	const struct lower *lw, const struct stage *st, const struct ast_node *n, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	char *text AUTO_FREE = mem_vprintf(fmt, ap);
	va_end(ap);
	event_warn(lw->rq->events, lower_range(lw, st, n), "%s", text);
}

const char *lower_build_arg(const struct lower *lw, const char *name)
{
	return envlist_get(&lw->build_args, name);
}

static void set_pair(struct strvec *list, const char *pair)
{
	const char *eq = strchr(pair, '=');
	char *key AUTO_FREE = eq ? mem_strndup(pair, (size_t)(eq - pair)) : mem_strdup(pair);
	envlist_set(list, key, eq ? eq + 1 : "");
}

static void take_request(struct lower *lw)
{
	const struct dockerfile_request *rq = lw->rq;
	for (const char *const *p = rq->proxy_env; p && *p; p++)
		set_pair(&lw->proxies, *p);
	for (const char *const *p = rq->build_args; p && *p; p++) {
		set_pair(&lw->build_args, *p);
		const char *eq = strchr(*p, '=');
		char *key AUTO_FREE = eq ? mem_strndup(*p, (size_t)(eq - *p)) : mem_strdup(*p);
		if (in_list(proxy_names, key))
			set_pair(&lw->proxies, *p);
	}
	lw->created = rq->created;
	int64_t seconds = 0;
	const char *epoch = lower_build_arg(lw, "SOURCE_DATE_EPOCH");
	if (epoch && str_to_i64(str_c(epoch), &seconds) && seconds >= 0 && seconds < INT64_MAX / 1000000000)
		lw->created = seconds * 1000000000;
}

static void set_platform_args(struct lower *lw, const char *prefix, const struct platform *p)
{
	const char *const values[][2] = {{"PLATFORM", p->text}, {"OS", p->os}, {"OSVERSION", ""},
		{"ARCH", p->arch}, {"VARIANT", p->variant}};
	for (size_t i = 0; i < ARRAY_LEN(values); i++) {
		const char *key = arena_printf(lw->a, "%s%s", prefix, values[i][0]);
		const char *given = lower_build_arg(lw, key);
		envlist_set(&lw->globals, key, given ? given : values[i][1]);
		map_set_c(lw->used_args, key, lw);
	}
}

/* The last stage of that name, or by index; stage_count if there is none. */
size_t lower_find_stage(const struct lower *lw, const char *name, size_t before, bool allow_index)
{
	for (size_t i = before; i-- > 0;)
		if (lw->program.stages[i].name && str_eq_nocase(str_c(name), lw->program.stages[i].name))
			return i;
	uint64_t index = 0;
	if (allow_index && isdigit((unsigned char)*name) && str_to_u64(str_c(name), &index) && index < before)
		return (size_t)index;
	return lw->program.stage_count;
}

/* what: "target stage". */
static struct err *no_stage(const struct lower *lw, const char *what, const char *asked)
{
	size_t count = lw->program.stage_count, n = 0;
	const char **names = arena_array(lw->a, count + 1, sizeof(*names));
	struct buf have AUTO_BUF = {0};
	for (size_t i = 0; i < count; i++)
		if (lw->program.stages[i].name) {
			buf_addf(&have, "%s%s", n ? ", " : "", lw->program.stages[i].name);
			names[n++] = lw->program.stages[i].name;
		}
	const char *near = str_suggest(asked, names);
	struct err *why = err_new(ERR_INVALID, "%s: %s \"%s\" could not be found%s%s%s", lw->rq->path, what,
		asked, near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
	return err_hint(why, "named stages: %s", n ? buf_cstr(&have) : "none");
}

static struct err *find_target(struct lower *lw, size_t *out)
{
	size_t count = lw->program.stage_count;
	*out = count - 1;
	if (!lw->rq->target || !*lw->rq->target)
		return NULL;
	*out = lower_find_stage(lw, lw->rq->target, count, true);
	return *out < count ? NULL : no_stage(lw, "target stage", lw->rq->target);
}

static struct err *global_arg(struct lower *lw, const struct ast_word *w)
{
	const char *eq = strchr(w->text, '=');
	const char *key = eq ? arena_strndup(lw->a, w->text, (size_t)(eq - w->text)) : w->text;
	const char *value = lower_build_arg(lw, key);
	map_set_c(lw->used_args, key, lw);
	if (!value && eq)
		TRY(lower_at(lw, NULL, w->at, lower_expand_text(lw, &lw->globals, eq + 1, &value)));
	if (value)
		TRY(lower_at(lw, NULL, w->at, lower_set_variable(&lw->globals, key, value)));
	return NULL;
}

static struct err *global_args(struct lower *lw, const struct stage_text *target)
{
	set_platform_args(lw, "TARGET", &lw->platform);
	set_platform_args(lw, "BUILD", &lw->build_platform);
	const char *given = lower_build_arg(lw, "TARGETSTAGE");
	const char *name = lw->rq->target && *lw->rq->target ? lw->rq->target
			   : target->name                    ? target->name
							     : "default";
	envlist_set(&lw->globals, "TARGETSTAGE", given ? given : name);
	map_set_c(lw->used_args, "TARGETSTAGE", lw);
	for (size_t i = 0; i < lw->program.global_count; i++) {
		const struct ast_node *n = lw->program.globals[i].node;
		for (size_t k = 0; k < n->arg_count; k++)
			TRY(global_arg(lw, &n->args[k]));
	}
	return NULL;
}

/* Which stage or other thing a FROM names. */
static struct err *resolve_base(struct lower *lw, struct stage *st)
{
	const struct stage_text *t = st->text;
	st->platform = lw->platform;
	const char *platform = t->from.flag[FLAG_PLATFORM];
	if (platform) {
		struct pos at = t->from.flag_at[FLAG_PLATFORM];
		TRY(lower_at(lw, NULL, at, lower_expand_text(lw, &lw->globals, platform, &platform)));
		if (*platform)
			TRY(lower_at(lw, NULL, at, platform_words_parse(lw->a, platform, &st->platform)));
	}
	TRY(lower_at(lw, NULL, t->base_at, lower_expand_text(lw, &lw->globals, t->base, &st->base_name)));
	if (!*st->base_name) {
		struct err *why = err_new(ERR_INVALID, "base name (%s) should not be blank", t->base);
		why = lower_at(lw, NULL, t->base_at, why);
		return err_hint(
			why, "give the ARG a default before the first FROM, or pass it with --build-arg");
	}
	if (t->name)
		st->replaced = lower_find_context(lw, t->name);
	for (size_t i = st->index; i-- > 0 && !st->base;)
		if (lw->program.stages[i].name && strcmp(lw->program.stages[i].name, st->base_name) == 0)
			st->base = &lw->stages[i];
	if (st->base && !platform)
		st->platform = st->base->platform;
	return NULL;
}

static bool stage_ignores_cache(const struct lower *lw, const struct stage_text *t)
{
	if (lw->rq->no_cache)
		return true;
	for (const char *const *p = lw->rq->no_cache_stages; t->name && p && *p; p++)
		if (str_eq_nocase(str_c(*p), t->name))
			return true;
	return false;
}

static struct err *check_no_cache_stages(struct lower *lw)
{
	for (const char *const *p = lw->rq->no_cache_stages; p && *p; p++) {
		bool known = false;
		for (size_t i = 0; i < lw->program.stage_count; i++) {
			const char *name = lw->program.stages[i].name;
			known |= name && str_eq_nocase(str_c(*p), name);
		}
		if (!known)
			return no_stage(lw, "no-cache stage", *p);
	}
	return NULL;
}

static struct err *make_stages(struct lower *lw)
{
	TRY(check_no_cache_stages(lw));
	lw->stage_count = lw->program.stage_count;
	lw->stages = arena_array(lw->a, lw->stage_count, sizeof(struct stage));
	for (size_t i = 0; i < lw->stage_count; i++) {
		struct stage *st = &lw->stages[i];
		st->text = &lw->program.stages[i];
		st->index = i;
		st->build_args = VEC_OF(struct build_arg);
		st->ignore_cache = stage_ignores_cache(lw, st->text);
		st->display = "";
		if (lw->stage_count > 1)
			st->display = st->text->name ? arena_printf(lw->a, "%s ", st->text->name)
						     : arena_printf(lw->a, "stage-%zu ", i);
		TRY(resolve_base(lw, st));
	}
	return NULL;
}

static void want(struct lower *lw, const char *from, size_t before, bool allow_index)
{
	size_t i = from ? lower_find_stage(lw, from, before, allow_index) : lw->stage_count;
	if (i < lw->stage_count)
		lw->stages[i].wanted = true;
}

/* Everything that stage last may use; only earlier stages can be, so one pass downwards finds all. */
static void mark_wanted(struct lower *lw, size_t last)
{
	lw->stages[last].wanted = true;
	for (size_t i = last + 1; i-- > 0;) {
		struct stage *st = &lw->stages[i];
		if (!st->wanted || st->state == STAGE_DONE || st->replaced)
			continue;
		if (st->base)
			st->base->wanted = true;
		for (size_t k = 0; k < st->text->count; k++) {
			const struct instr *in = &st->text->instrs[k];
			want(lw, in->flag[FLAG_FROM], i, true);
			for (size_t m = 0; m < in->mount_count; m++)
				want(lw, in->mounts[m].from, i, false);
		}
	}
}

/* A single-platform image is taken whatever it is for: the registry offers no choice. */
static void warn_platform(const struct lower *lw, const struct stage *st, const struct base_source *src)
{
	const char *os = json_string_value(json_object_get(st->config.top, "os"));
	const char *arch = json_string_value(json_object_get(st->config.top, "architecture"));
	if (cstr_eq(os, st->platform.os) && cstr_eq(arch, st->platform.arch))
		return;
	lower_warn(lw, st, st->text->from.node, "base image %s is for %s/%s, but %s was asked for",
		src->display, os ? os : "?", arch ? arch : "?", st->platform.text);
}

static struct err *start_from_source(struct lower *lw, struct stage *st, const struct base_source *src)
{
	st->root = src->node;
	if (!src->display) {
		stage_config_scratch(&st->config, lw->a, &st->platform);
		return NULL;
	}
	const char *what = arena_printf(lw->a, "config of %s", src->display);
	TRY(stage_config_load(&st->config, lw->a, buf_str(&src->config), what));
	stage_config_default_platform(&st->config, &st->platform);
	warn_platform(lw, st, src);
	return NULL;
}

static struct err *start_from_stage(struct lower *lw, struct stage *st)
{
	const struct stage *base = st->base;
	size_t bytes = base->build_args.len * sizeof(struct build_arg);
	for (size_t i = 0; i < base->env.len; i++)
		bytes += strlen(base->env.ptr[i]) + 16;
	TRY(lower_charge(lw, bytes * 2));
	st->root = base->root;
	stage_config_copy(&base->config, &st->config);
	strvec_push_all(&st->env, strvec_list(&base->env));
	for (size_t i = 0; i < base->build_args.len; i++)
		vec_push_copy(&st->build_args, vec_at(&base->build_args, i));
	return NULL;
}

static struct err *start_stage(struct lower *lw, struct stage *st)
{
	const struct base_source *src = NULL;
	if (st->replaced) {
		TRY(lower_context_source(lw, st->replaced, st, NULL, &src));
		return start_from_source(lw, st, src);
	}
	if (st->base)
		return start_from_stage(lw, st);
	if (strcmp(st->base_name, "scratch") == 0) {
		stage_config_scratch(&st->config, lw->a, &st->platform);
		return NULL;
	}
	TRY(lower_source(lw, st->base_name, st, NULL, &src));
	return start_from_source(lw, st, src);
}

static bool from_is_step(const struct stage *st)
{
	return st->replaced || (!st->base && strcmp(st->base_name, "scratch") != 0);
}

static unsigned count_steps(const struct stage *st)
{
	unsigned n = from_is_step(st);
	if (st->replaced)
		return n;
	for (size_t i = 0; i < st->text->count; i++) {
		enum keyword k = st->text->instrs[i].keyword;
		n += k == KW_ADD || k == KW_COPY || k == KW_RUN || k == KW_WORKDIR;
	}
	return n;
}

static struct err *run_stage(struct lower *lw, struct stage *st)
{
	if (st->replaced)
		return NULL;
	for (size_t i = 0; i < st->config.env.len; i++)
		set_pair(&st->env, st->config.env.ptr[i]);
	const char *base = st->base && st->base->text->name ? st->base->text->name : st->base_name;
	TRY(lower_triggers(lw, st, base));
	for (size_t i = 0; i < st->text->count; i++)
		TRY(lower_instr(lw, st, &st->text->instrs[i]));
	return NULL;
}

static struct err *lower_stage(struct lower *lw, struct stage *st)
{
	if (st->state == STAGE_DONE)
		return NULL;
	st->state = STAGE_BUSY;
	st->steps = count_steps(st);
	/* The FROM of an image is a step, whichever stage asks for it first. */
	st->step = from_is_step(st);
	struct err *why = start_stage(lw, st);
	if (why && strchr(st->text->base, '$'))
		why = err_wrap(why, "FROM %s", st->text->base);
	TRY(lower_at(lw, NULL, st->text->base_at, why));
	TRY(run_stage(lw, st));
	st->state = STAGE_DONE;
	return NULL;
}

static const char *stage_title(struct lower *lw, size_t index)
{
	const char *name = lw->program.stages[index].name;
	return name ? name : arena_printf(lw->a, "%zu", index);
}

struct err *lower_need(struct lower *lw, size_t index, struct pos at)
{
	if (lw->stages[index].state == STAGE_DONE)
		return NULL;
	if (lw->stages[index].state == STAGE_BUSY)
		return lower_at(lw, NULL, at,
			err_new(ERR_INVALID, "circular dependency detected on stage: %s",
				stage_title(lw, index)));
	if (lw->depth >= LOWER_DEPTH_MAX)
		return lower_at(lw, NULL, at,
			err_new(ERR_INVALID, "ONBUILD triggers lead through more than %d stages",
				LOWER_DEPTH_MAX));
	lw->depth++;
	mark_wanted(lw, index);
	struct err *why = NULL;
	for (size_t i = 0; i <= index && !why; i++)
		if (lw->stages[i].wanted && lw->stages[i].state == STAGE_NEW)
			why = lower_stage(lw, &lw->stages[i]);
	lw->depth--;
	return why;
}

static void warn_syntax(const struct lower *lw, const struct directives *d)
{
	static const char *const known[] = {
		"docker/dockerfile", "docker.io/docker/dockerfile", "dockerfile.v0", NULL};
	if (!d->syntax)
		return;
	size_t name = strcspn(d->syntax, " \t:@");
	for (size_t i = 0; known[i]; i++)
		if (strlen(known[i]) == name && memcmp(known[i], d->syntax, name) == 0)
			return;
	event_warn(lw->rq->events, (struct source_range){lw->rq->path, d->syntax_at.line, d->syntax_at.line},
		"syntax=%s is ignored: files are read by the built-in Dockerfile frontend", d->syntax);
}

/* An ARG of a stage that is not built still means the name is no mistake. */
static void collect_args(const struct lower *lw, struct strvec *names)
{
	for (size_t i = 0; i < lw->stage_count; i++)
		for (size_t k = 0; k < lw->program.stages[i].count; k++) {
			const struct ast_node *n = lw->program.stages[i].instrs[k].node;
			for (size_t w = 0; n->keyword == KW_ARG && w < n->arg_count; w++)
				strvec_push_str(names, str_n(n->args[w].text, strcspn(n->args[w].text, "=")));
		}
	struct str key;
	void *value = NULL;
	for (size_t i = 0; map_next(lw->used_args, &i, &key, &value);)
		strvec_push_str(names, key);
}

static void warn_unused_args(const struct lower *lw)
{
	struct strvec names AUTO_STRVEC = {0};
	if (lw->build_args.len == 0)
		return;
	collect_args(lw, &names);
	for (size_t i = 0; i < lw->build_args.len; i++) {
		const char *pair = lw->build_args.ptr[i];
		char *key AUTO_FREE = mem_strndup(pair, strcspn(pair, "="));
		if (strvec_has(&names, key) || in_list(proxy_names, key) || in_list(builtin_args, key))
			continue;
		const char *near = str_suggest(key, strvec_list(&names));
		event_warn(lw->rq->events, (struct source_range){0},
			"build argument %s is not used: no ARG in %s declares it%s%s%s", key, lw->rq->path,
			near ? " (did you mean " : "", near ? near : "", near ? "?)" : "");
	}
}

static struct err *finish(struct lower *lw, struct stage *st)
{
	for (const char *const *p = lw->rq->labels; p && *p; p++) {
		size_t key = strcspn(*p, "=");
		char *name AUTO_FREE = mem_strndup(*p, key);
		stage_config_add_key(&st->config, "Labels", name, json_text((*p)[key] ? *p + key + 1 : ""));
	}
	lw->out->root = st->root;
	lw->out->config = stage_config_document(&st->config, lw->created);
	lw->out->history_layers = st->config.layers;
	lw->out->history_lines = VEC_OF(uint32_t);
	stage_config_lines(&st->config, &lw->out->history_lines);
	return NULL;
}

static void free_source(void *p)
{
	struct base_source *s = p;
	buf_fini(&s->config);
	free(s);
}

static void lower_fini(struct lower *lw)
{
	for (size_t i = 0; i < lw->stage_count && lw->stages; i++) {
		stage_config_fini(&lw->stages[i].config);
		strvec_fini(&lw->stages[i].env);
		vec_fini(&lw->stages[i].build_args);
	}
	strvec_fini(&lw->globals);
	strvec_fini(&lw->build_args);
	strvec_fini(&lw->proxies);
	map_free(lw->used_args);
	map_free(lw->sources);
	map_free(lw->locals);
	arena_free(lw->a);
}

/* The rules are not applied yet; a mistake in the setting is told all the same. */
static struct err *validate_check(const struct lower *lw, const struct directives *d)
{
	struct check_options options AUTO(check_options_fini) = {0};
	const char *given = NULL;
	for (const char *const *p = lw->rq->build_args; p && *p; p++)
		if (cstr_starts(*p, "BUILDKIT_DOCKERFILE_CHECK="))
			given = strchr(*p, '=') + 1;
	if (given) {
		struct err *why = check_options_parse(given, &options);
		return why ? err_wrap(why, "build argument BUILDKIT_DOCKERFILE_CHECK") : NULL;
	}
	return d->check ? lower_at(lw, NULL, d->check_at, check_options_parse(d->check, &options)) : NULL;
}

static struct err *parse(struct lower *lw)
{
	struct diag d AUTO(diag_fini) = {.path = lw->rq->path};
	struct ast ast;
	ast_parse(lw->a, &d, lw->rq->text, &ast);
	if (ast.count)
		program_build(lw->a, &d, &ast, &lw->program);
	TRY(diag_err(&d));
	lw->escape = ast.directives.escape;
	warn_syntax(lw, &ast.directives);
	return validate_check(lw, &ast.directives);
}

static struct err *run(struct lower *lw)
{
	TRY(parse(lw));
	const char *platform = lw->rq->platform ? lw->rq->platform : "linux/amd64";
	TRY(platform_words_parse(lw->a, platform, &lw->platform));
	TRY(platform_words_parse(
		lw->a, lw->rq->build_platform ? lw->rq->build_platform : platform, &lw->build_platform));
	take_request(lw);
	size_t target = 0;
	TRY(find_target(lw, &target));
	TRY(global_args(lw, &lw->program.stages[target]));
	TRY(make_stages(lw));
	TRY(lower_need(lw, target, (struct pos){0}));
	warn_unused_args(lw);
	return finish(lw, &lw->stages[target]);
}

struct err *dockerfile_lower(
	const struct dockerfile_request *rq, struct graph *g, struct dockerfile_build *out)
{
	struct dockerfile_build made AUTO(dockerfile_build_fini) = {0};
	struct lower lw AUTO(lower_fini) = {
		.rq = rq,
		.g = g,
		.out = &made,
		.a = arena_new(),
		.used_args = map_new(NULL),
		.glob_work = LOWER_GLOB_MAX,
		.sources = map_new(free_source),
		.locals = map_new(NULL),
	};
	TRY(run(&lw));
	*out = made;
	made = (struct dockerfile_build){0};
	return NULL;
}
