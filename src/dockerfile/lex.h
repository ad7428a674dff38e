/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Physical lines to logical ones: directives, comments, continuations, heredoc bodies.
 * All text lives in the arena and is NUL-terminated; a file with a NUL byte is refused before.
 */
#pragma once

#include "base/arena.h"
#include "base/compiler.h"
#include "base/str.h"
#include "dockerfile/diag.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DOCKERFILE_LINE_MAX 65535
#define DOCKERFILE_SIZE_MAX ((size_t)1 << 20)

/* The directives at the top; NULL where absent. */
struct directives {
	char escape;
	const char *syntax;
	const char *check;
	struct pos syntax_at, check_at;
};

/* From offset on, the bytes of a logical line stand at this place in the file. */
struct piece {
	size_t offset;
	struct pos at;
};

struct logical_line {
	const char *text;
	size_t len;
	const struct piece *pieces; /* ordered */
	size_t piece_count;
	uint32_t line, end_line;
	bool empty_continuation; /* a blank line stood inside it */
	const char *comment;     /* the comment line directly above without its '#', trimmed; or NULL */
};

struct pos line_pos(const struct logical_line *l, size_t offset);

struct lexer {
	struct arena *arena;
	struct diag *diag;
	struct str rest;
	uint32_t line; /* number of the line last read */
	bool failed_long;
	struct directives directives;
};

/* Reads the directives. */
void lexer_init(struct lexer *lx, struct arena *a, struct diag *d, struct str text);
/* For text that is no file (an ONBUILD trigger): no directives. */
void lexer_init_plain(struct lexer *lx, struct arena *a, struct diag *d, struct str text, char escape);
bool lexer_next(struct lexer *lx, struct logical_line *out);
/* The lines up to the one that is just name. False (with nothing consumed) if that never comes. strip_tabs
 * also applies to *body. */
bool lexer_heredoc(struct lexer *lx, const char *name, bool strip_tabs, struct str *body);
