/* SPDX-License-Identifier: Apache-2.0 */
#include "dockerfile/instructions.h"

#include "base/vec.h"
#include "dockerfile/instr_check.h"
#include "dockerfile/mounts.h"

#include <ctype.h>
#include <string.h>

#define BIT(f) (1u << FLAG_##f)

static const char *const flag_names[] = {
#define X(id, name) [FLAG_##id] = name,
	FLAGS(X)
#undef X
		NULL,
};

static const unsigned allowed[KW_UNKNOWN] = {
	[KW_FROM] = BIT(PLATFORM),
	[KW_ADD] = BIT(CHOWN) | BIT(CHMOD) | BIT(LINK) | BIT(EXCLUDE) | BIT(CHECKSUM) | BIT(KEEP_GIT_DIR) |
		   BIT(UNPACK),
	[KW_COPY] = BIT(FROM) | BIT(CHOWN) | BIT(CHMOD) | BIT(LINK) | BIT(EXCLUDE) | BIT(PARENTS),
	[KW_RUN] = BIT(MOUNT) | BIT(NETWORK) | BIT(SECURITY),
	[KW_HEALTHCHECK] =
		BIT(INTERVAL) | BIT(TIMEOUT) | BIT(START_PERIOD) | BIT(START_INTERVAL) | BIT(RETRIES),
};
static const unsigned booleans = BIT(LINK) | BIT(PARENTS) | BIT(KEEP_GIT_DIR) | BIT(UNPACK);
static const unsigned repeatable = BIT(EXCLUDE) | BIT(MOUNT);

const char *flag_name(enum flag_id f)
{
	return flag_names[f];
}

bool instr_flag(const struct instr *i, enum flag_id f)
{
	return i->flag[f] && strcmp(i->flag[f], "true") == 0;
}

static void unknown_flag(struct diag *d, const struct ast_node *n, struct pos at, const char *name)
{
	const char *names[FLAG_COUNT + 1];
	size_t count = 0;
	for (size_t f = 0; n->keyword < KW_UNKNOWN && f < FLAG_COUNT; f++)
		if (allowed[n->keyword] & (1u << f))
			names[count++] = flag_names[f];
	names[count] = NULL;
	const char *near = str_suggest(name, names);
	diag_add(d, at, "unknown flag: --%s%s%s%s", name, near ? " (did you mean --" : "", near ? near : "",
		near ? "?)" : "");
}

static const char *boolean_value(struct diag *d, struct pos at, const char *name, const char *value)
{
	if (!value || str_eq_nocase(str_c(value), "true"))
		return "true";
	if (!str_eq_nocase(str_c(value), "false"))
		diag_add(d, at, "expecting boolean value for flag %s, not: %s", name, value);
	return "false";
}

/* Flag lists being gathered. */
struct gathered {
	struct strvec exclude;
	struct vec mounts;
};

static void take_flag(
	struct arena *a, struct diag *d, const struct ast_word *w, struct instr *out, struct gathered *lists)
{
	const char *eq = strchr(w->text, '=');
	const char *name = eq ? arena_strndup(a, w->text + 2, (size_t)(eq - w->text) - 2) : w->text + 2;
	const char *value = eq ? eq + 1 : NULL;
	size_t f = 0;
	while (f < FLAG_COUNT && strcmp(flag_names[f], name) != 0)
		f++;
	if (f == FLAG_COUNT || out->keyword >= KW_UNKNOWN || !(allowed[out->keyword] & (1u << f))) {
		unknown_flag(d, out->node, w->at, name);
		return;
	}
	unsigned bit = 1u << f;
	if (out->flag[f] && !(repeatable & bit))
		diag_add(d, w->at, "duplicate flag specified: %s", name);
	if (booleans & bit)
		value = boolean_value(d, w->at, name, value);
	else if (!value)
		diag_add(d, w->at, "missing a value on flag: %s", name);
	out->flag[f] = value ? value : "";
	out->flag_at[f] = w->at;
	if (bit == BIT(EXCLUDE) && value)
		strvec_push(&lists->exclude, value);
	if (bit == BIT(MOUNT) && value)
		mount_split(a, d, w->at, value, vec_push(&lists->mounts));
}

static const char *const *keep_list(struct arena *a, const struct strvec *v)
{
	if (v->len == 0)
		return NULL;
	const char **out = arena_array(a, v->len + 1, sizeof(*out));
	for (size_t i = 0; i < v->len; i++)
		out[i] = arena_strdup(a, v->ptr[i]);
	return out;
}

static void gathered_fini(struct gathered *g)
{
	strvec_fini(&g->exclude);
	vec_fini(&g->mounts);
}

void instr_build(struct arena *a, struct diag *d, const struct ast_node *n, struct instr *out)
{
	*out = (struct instr){.keyword = n->keyword, .node = n};
	if (n->keyword == KW_UNKNOWN) {
		const char *near = str_suggest(n->name, keyword_names());
		char *upper = arena_strdup(a, near ? near : "");
		for (char *c = upper; *c; c++)
			*c = (char)toupper((unsigned char)*c);
		diag_add(d, n->at, "unknown instruction: %s%s%s%s", n->name, near ? " (did you mean " : "",
			upper, near ? "?)" : "");
		return;
	}
	struct gathered lists AUTO(gathered_fini) = {.mounts = VEC_OF(struct mount_words)};
	for (size_t i = 0; i < n->flag_count; i++)
		take_flag(a, d, &n->flags[i], out, &lists);
	out->exclude = keep_list(a, &lists.exclude);
	out->mounts = arena_dup(a, lists.mounts.ptr, lists.mounts.len * sizeof(struct mount_words));
	out->mount_count = lists.mounts.len;
	if (!n->bad)
		instr_check(d, out);
	if (n->child) {
		struct instr child;
		instr_build(a, d, n->child, &child);
	}
}

static void stage_start(struct arena *a, struct diag *d, const struct ast_node *n, struct stage_text *s)
{
	*s = (struct stage_text){.base = ""};
	instr_build(a, d, n, &s->from);
	if (n->arg_count) {
		s->base = n->args[0].text;
		s->base_at = n->args[0].at;
	}
	if (n->arg_count != 3)
		return;
	char *name = arena_strdup(a, n->args[2].text);
	for (char *c = name; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	s->name = name;
}

void program_build(struct arena *a, struct diag *d, const struct ast *ast, struct program *out)
{
	struct vec stages AUTO(vec_fini) = VEC_OF(struct stage_text);
	struct instr *instrs = arena_array(a, ast->count + 1, sizeof(*instrs));
	size_t used = 0;
	*out = (struct program){.globals = instrs};
	bool told = false;
	for (size_t i = 0; i < ast->count; i++) {
		const struct ast_node *n = &ast->nodes[i];
		if (n->keyword == KW_FROM) {
			struct stage_text *s = vec_push(&stages);
			stage_start(a, d, n, s);
			s->instrs = instrs + used;
			continue;
		}
		instr_build(a, d, n, &instrs[used]);
		used++;
		if (stages.len) {
			((struct stage_text *)vec_at(&stages, stages.len - 1))->count++;
		} else if (n->keyword == KW_ARG) {
			out->global_count++;
		} else if (!told && n->keyword != KW_UNKNOWN) {
			told = true;
			diag_add(d, n->at,
				"no build stage in current context: the first instruction but for ARG must "
				"be FROM");
		}
	}
	out->stages = arena_dup(a, stages.ptr, stages.len * sizeof(struct stage_text));
	out->stage_count = stages.len;
	if (stages.len == 0 && d->count == 0)
		diag_add(d, (struct pos){0}, "dockerfile contains no stages to build: there is no FROM");
}
