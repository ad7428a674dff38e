/* SPDX-License-Identifier: Apache-2.0 */
#include "dockerfile/lower_internal.h"

#include <string.h>

#define TRIGGERS_MAX 1000

struct err *lower_instr(struct lower *lw, struct stage *st, const struct instr *i)
{
	st->config.line = lower_range(lw, st, i->node).line;
	switch (i->keyword) {
	case KW_RUN:
		return lower_run(lw, st, i);
	case KW_COPY:
	case KW_ADD:
		return lower_copy(lw, st, i);
	case KW_WORKDIR:
		return lower_workdir(lw, st, i);
	default:
		return lower_meta(lw, st, i);
	}
}

/* A trigger's text to an instruction, or its mistakes at the FROM line. */
static struct err *read_trigger(struct lower *lw, struct stage *st, const char *text, struct instr *out)
{
	struct diag d AUTO(diag_fini) = {.path = lw->rq->path, .override = st->text->base_at};
	d.about = arena_printf(lw->a, "ONBUILD trigger of %s: ", st->trigger_of);
	struct ast_node *n = arena_new_of(lw->a, struct ast_node);
	bool found = ast_parse_one(lw->a, &d, str_c(text), lw->escape, n);
	if (!found && d.count == 0)
		diag_add(&d, (struct pos){0}, "there is no instruction in it");
	if (found && (n->keyword == KW_ONBUILD || n->keyword == KW_FROM || n->keyword == KW_MAINTAINER))
		diag_add(&d, (struct pos){0}, "%s isn't allowed as an ONBUILD trigger", n->name);
	else if (found)
		instr_build(lw->a, &d, n, out);
	return diag_err(&d);
}

static bool makes_step(enum keyword k)
{
	return k == KW_ADD || k == KW_COPY || k == KW_RUN || k == KW_WORKDIR;
}

void lower_count_triggers(struct lower *lw, struct stage *st, const struct buf *config)
{
	struct stage_config c AUTO(stage_config_fini) = {0};
	struct err *why AUTO(err_freep) = stage_config_load(&c, lw->a, buf_str(config), "config");
	struct strvec triggers AUTO_STRVEC = {0};
	struct diag d AUTO(diag_fini) = {0};
	stage_config_list(&c, "OnBuild", &triggers);
	for (size_t i = 0; i < triggers.len && i < TRIGGERS_MAX; i++) {
		struct ast_node n = {0};
		if (ast_parse_one(lw->a, &d, str_c(triggers.ptr[i]), lw->escape, &n))
			st->steps += makes_step(n.keyword);
	}
	/* Mistakes are told when the triggers run. */
	st->triggers_counted = !why;
}

struct err *lower_triggers(struct lower *lw, struct stage *st, const char *base)
{
	struct strvec triggers AUTO_STRVEC = {0};
	stage_config_list(&st->config, "OnBuild", &triggers);
	stage_config_set(&st->config, "OnBuild", NULL);
	if (triggers.len == 0)
		return NULL;
	if (triggers.len > TRIGGERS_MAX)
		return lower_at(lw, NULL, st->text->base_at,
			err_new(ERR_INVALID, "%s has more than %d ONBUILD triggers", base, TRIGGERS_MAX));
	st->trigger_of = base;
	struct instr *instrs = arena_array(lw->a, triggers.len, sizeof(*instrs));
	for (size_t i = 0; i < triggers.len; i++) {
		TRY(lower_charge(lw, strlen(triggers.ptr[i])));
		TRY(read_trigger(lw, st, triggers.ptr[i], &instrs[i]));
		st->steps += !st->triggers_counted && makes_step(instrs[i].keyword);
	}
	st->trigger_at = st->text->base_at;
	for (size_t i = 0; i < triggers.len; i++)
		TRY(lower_instr(lw, st, &instrs[i]));
	st->trigger_at = (struct pos){0};
	return NULL;
}
