/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the lowering share: one run's context and the stages. */
#pragma once

#include "base/arena.h"
#include "base/map.h"
#include "dockerfile/config.h"
#include "dockerfile/expand.h"
#include "dockerfile/frontend.h"
#include "dockerfile/instructions.h"
#include "dockerfile/names.h"

#define LOWER_DEPTH_MAX 64

/* ARG lines in scope; value NULL: none. */
struct build_arg {
	const char *key;
	const char *value;
};

enum stage_state { STAGE_NEW, STAGE_BUSY, STAGE_DONE };

struct stage {
	const struct stage_text *text;
	size_t index;
	const char *display;                  /* in step names; "" for the only stage of a file */
	const char *base_name;                /* expanded */
	struct stage *base;                   /* NULL: an image, scratch or a context */
	const struct named_context *replaced; /* a named context stands for the whole stage */
	struct platform platform;
	bool wanted;
	enum stage_state state;
	/* as lowered so far */
	struct node *root;
	struct stage_config config;
	struct strvec env;     /* ENV and ARG values, what instructions see */
	struct vec build_args; /* of struct build_arg */
	bool cmd_set;
	bool ignore_cache;
	unsigned steps, step;
	bool triggers_counted; /* steps holds those of the base's ONBUILD triggers */
	struct pos trigger_at; /* line set while ONBUILD triggers run: where errors are located */
	const char *trigger_of;
};

/* A source other than a stage: an image or a named context. */
struct base_source {
	struct node *node;
	struct buf config;   /* of an image; else empty */
	const char *display; /* of an image: the exact reference */
	bool keep_owner;
};

struct lower {
	const struct dockerfile_request *rq;
	struct graph *g;
	struct dockerfile_build *out;
	struct arena *a;
	struct program program;
	char escape;
	struct stage *stages;
	size_t stage_count;
	struct stage *target;
	struct platform platform, build_platform;
	struct strvec globals;    /* "K=V": global ARGs and the platform's */
	struct strvec build_args; /* "K=V" of the request, last one wins */
	struct map *used_args;    /* keys that some ARG declares */
	struct map *sources;      /* struct base_source by key */
	struct map *locals;       /* struct node by OP_LOCAL name */
	struct strvec proxies;    /* "K=V" */
	int64_t created;
	size_t spent;     /* bytes that instructions made, for the limit */
	size_t glob_work; /* steps left for patterns */
	int depth;
};

/* lower.c */
MUST_USE struct err *lower_need(struct lower *lw, size_t index, struct pos at);
MUST_USE struct err *lower_charge(struct lower *lw, size_t bytes);
/* Set a variable that instructions see. */
MUST_USE struct err *lower_set_variable(struct strvec *env, const char *key, const char *value);
MUST_USE struct err *lower_at(const struct lower *lw, const struct stage *st, struct pos at, struct err *why);
struct source_range lower_range(const struct lower *lw, const struct stage *st, const struct ast_node *n);
void lower_warn(const struct lower *lw, const struct stage *st, const struct ast_node *n, const char *fmt,
	...) PRINTF(4, 5);
/* A request's build-arg or NULL. */
const char *lower_build_arg(const struct lower *lw, const char *name);

/* lower_expand.c: with the stage's variables; the result lives in the arena. */
MUST_USE struct err *lower_expand(
	struct lower *lw, struct stage *st, const struct ast_word *w, const char **out);
MUST_USE struct err *lower_expand_text(
	struct lower *lw, const struct strvec *env, const char *text, const char **out);
MUST_USE struct err *lower_expand_words(
	struct lower *lw, struct stage *st, const struct ast_word *w, struct strvec *out);
MUST_USE struct err *lower_expand_body(
	struct lower *lw, struct stage *st, const struct ast_heredoc *doc, struct str *out);
/* "[stage 2/5] RUN make"; counts the step. */
const char *lower_step_name(struct lower *lw, struct stage *st, const char *text);
struct node_label lower_label(struct lower *lw, struct stage *st, const struct instr *i);

/* lower_sources.c */
const struct named_context *lower_find_context(struct lower *lw, const char *name);
MUST_USE struct err *lower_local(struct lower *lw, const char *local, struct node **out);
/*
 * An image or a named context by name. Borrowed. user is the stage that needs it: its platform counts and,
 * when by is NULL, the source is its FROM; else by is the instruction.
 */
MUST_USE struct err *lower_source(struct lower *lw, const char *name, struct stage *user,
	const struct instr *by, const struct base_source **out);
MUST_USE struct err *lower_context_source(struct lower *lw, const struct named_context *c, struct stage *user,
	const struct instr *by, const struct base_source **out);
struct from_ref {
	const char *name;
	struct pos at;
	bool allow_index;
};
struct from_result {
	struct node *node; /* NULL: scratch */
	bool keep_owner;
};
/* What --from and mount from= name. */
MUST_USE struct err *lower_from(struct lower *lw, struct stage *st, const struct instr *by,
	const struct from_ref *ref, struct from_result *out);
/* The earlier stage of that name (any case), or by index; lw->stage_count if none. */
size_t lower_find_stage(const struct lower *lw, const char *name, size_t before, bool allow_index);

/* one instruction each */
MUST_USE struct err *lower_run(struct lower *lw, struct stage *st, const struct instr *i);
MUST_USE struct err *lower_copy(struct lower *lw, struct stage *st, const struct instr *i);
MUST_USE struct err *lower_workdir(struct lower *lw, struct stage *st, const struct instr *i);
MUST_USE struct err *lower_meta(struct lower *lw, struct stage *st, const struct instr *i);
MUST_USE struct err *lower_instr(struct lower *lw, struct stage *st, const struct instr *i);
/* onbuild.c: add the steps of an image's triggers to st->steps, so that even its FROM is shown with the right
 * total. */
void lower_count_triggers(struct lower *lw, struct stage *st, const struct buf *config);
/* Run what the base asked for, once. */
MUST_USE struct err *lower_triggers(struct lower *lw, struct stage *st, const char *base);
