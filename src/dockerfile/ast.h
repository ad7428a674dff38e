/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The syntax tree of a Dockerfile: what was written, nothing interpreted. Lives in its arena.
 */
#pragma once

#include "base/arena.h"
#include "base/buf.h"
#include "base/compiler.h"
#include "base/str.h"
#include "dockerfile/lex.h"

#include <stdbool.h>
#include <stddef.h>

/* One table for names and how the rest of the line is read. */
enum argument_form {
	FORM_JSON_OR_TEXT,  /* a JSON array, else the rest as one string */
	FORM_JSON_OR_WORDS, /* a JSON array, else words */
	FORM_WORDS,
	FORM_TEXT,
	FORM_PAIRS,   /* key, value, separator */
	FORM_OPTIONS, /* name or name=value words, quotes kept */
	FORM_HEALTH,  /* a type word, then JSON_OR_TEXT */
	FORM_NESTED,
	FORM_NONE,
};

#define KEYWORDS(X)                                    \
	X(ADD, "add", FORM_JSON_OR_WORDS)              \
	X(ARG, "arg", FORM_OPTIONS)                    \
	X(CMD, "cmd", FORM_JSON_OR_TEXT)               \
	X(COPY, "copy", FORM_JSON_OR_WORDS)            \
	X(ENTRYPOINT, "entrypoint", FORM_JSON_OR_TEXT) \
	X(ENV, "env", FORM_PAIRS)                      \
	X(EXPOSE, "expose", FORM_WORDS)                \
	X(FROM, "from", FORM_WORDS)                    \
	X(HEALTHCHECK, "healthcheck", FORM_HEALTH)     \
	X(LABEL, "label", FORM_PAIRS)                  \
	X(MAINTAINER, "maintainer", FORM_TEXT)         \
	X(ONBUILD, "onbuild", FORM_NESTED)             \
	X(RUN, "run", FORM_JSON_OR_TEXT)               \
	X(SHELL, "shell", FORM_JSON_OR_TEXT)           \
	X(STOPSIGNAL, "stopsignal", FORM_TEXT)         \
	X(USER, "user", FORM_TEXT)                     \
	X(VOLUME, "volume", FORM_JSON_OR_WORDS)        \
	X(WORKDIR, "workdir", FORM_TEXT)

#define X(id, name, form) KW_##id,
enum keyword { KEYWORDS(X) KW_UNKNOWN };
#undef X

struct ast_word {
	const char *text;
	struct pos at;
};

struct ast_heredoc {
	const char *name;
	struct str body; /* tabs stripped if it was <<- */
	bool expand;
	bool strip_tabs;
	struct pos at;
};

struct ast_node {
	enum keyword keyword;
	const char *name; /* as written */
	struct ast_word *flags;
	size_t flag_count;
	struct ast_word *args; /* see enum argument_form */
	size_t arg_count;
	bool json;
	bool bad;    /* a mistake in its arguments was reported */
	bool legacy; /* ENV and LABEL without '=' */
	struct ast_heredoc *docs;
	size_t doc_count;
	struct ast_node *child; /* ONBUILD */
	const char *rest;       /* what follows the keyword, as written but for continuations */
	const char *text;       /* the whole logical line, trimmed */
	const char *comment;    /* see struct logical_line */
	struct pos at;
	uint32_t line, end_line;
	bool empty_continuation;
};

struct ast {
	struct directives directives;
	struct ast_node *nodes;
	size_t count;
};

#define DOCKERFILE_INSTRUCTIONS_MAX 10000
/* Words or flags of one instruction; of a pair, key, value and separator count. */
#define DOCKERFILE_WORDS_MAX 30000

/* Mistakes go to d; what could be understood is in *out. text must be free of NUL bytes. */
void ast_parse(struct arena *a, struct diag *d, struct str text, struct ast *out);
/* One instruction that is not in a file (an ONBUILD trigger). False if there is none. */
bool ast_parse_one(struct arena *a, struct diag *d, struct str text, char escape, struct ast_node *out);
/* One line an instruction: (keyword ["--flag"] "argument" ...). For tests and "what did it read". */
void ast_dump(const struct ast *ast, struct buf *out);
/* Lower-case names ending with NULL, for suggestions. */
const char *const *keyword_names(void);
