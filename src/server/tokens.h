/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may do what at the server. A token is a text that its holder shows, "cooper_<12 hex id>_<64 hex
 * secret>": it is shown once, when it is made; the store keeps its sha256. That needs no slow hash: those
 * make guessing a password expensive, and 256 random bits cannot be guessed at any speed.
 *
 * They are records of the store (docs/formats.md, "Tokens"), so that every process on it sees a change at
 * once. Threads: any.
 */
#pragma once

#include "base/compiler.h"
#include "base/err.h"
#include "base/str.h"
#include "base/vec.h"
#include "store/store.h"

#include <stdbool.h>
#include <stdint.h>

enum token_scope {
	SCOPE_ADMIN = 1 << 0,   /* everything: also tokens, and replacing and deleting in the registry */
	SCOPE_RELEASE = 1 << 1, /* make and cancel runs, read runs and logs */
	SCOPE_RUNNER = 1 << 2,  /* take jobs and report on them, read runs and logs */
	SCOPE_PUSH = 1 << 3,    /* read the registry and add to it */
	SCOPE_PULL = 1 << 4,    /* read the registry */
	SCOPE_METRICS = 1 << 5, /* read the metrics */
};
#define SCOPE_ALL (SCOPE_ADMIN | SCOPE_RELEASE | SCOPE_RUNNER | SCOPE_PUSH | SCOPE_PULL | SCOPE_METRICS)
#define SCOPES_TEXT "admin, release, runner, push, pull and metrics"
/* One scope's name; NULL-terminated list of all, in the order of their bits. */
extern const char *const token_scope_names[];
bool token_scope_parse(const char *name, unsigned *scopes); /* adds to *scopes */
/* "push,pull"; caller frees. */
char *token_scopes_text(unsigned scopes);

#define TOKEN_ID_LEN 12
#define TOKEN_TEXT_MAX 96
#define TOKENS_MAX 1000
#define TOKEN_REPOSITORIES_MAX 50

struct token {
	char id[TOKEN_ID_LEN + 1];
	char *name;
	unsigned scopes;
	/* Globs ('*' any characters, '/' too; '?' one) of the only repositories that it is for; none: all. */
	struct strvec repositories;
	int64_t created, expires, used; /* ns; expires 0: never, used 0: not yet, and it is a minute coarse */
};
void token_fini(struct token *t);
/* The patterns with commas, or "all". Caller frees. */
char *token_repositories_text(const struct token *t);

/* Letters, digits, '.', '_' and '-', at most 64, not beginning with a sign. */
bool token_name_valid(struct str name);

/* Of the registry: what a token may do with a repository. */
enum registry_right {
	RIGHT_PULL = 1 << 0,
	RIGHT_PUSH = 1 << 1, /* add; who has RIGHT_DELETE, too, may also replace */
	RIGHT_DELETE = 1 << 2,
};
unsigned token_rights(const struct token *t, const char *repository);
/* With some repository at least. */
unsigned token_rights_anywhere(const struct token *t);

/* spec: name, scopes, repositories, expires. text is the only copy of the secret. ERR_EXISTS when the name is
 * taken, ERR_INVALID for a bad name, no scope, or repositories with other scopes than push and pull. out may
 * be NULL. */
MUST_USE struct err *token_create(
	struct store *s, const struct token *spec, char text[TOKEN_TEXT_MAX], struct token *out);
/* vec of struct token, by name. */
MUST_USE struct err *tokens_list(struct store *s, struct vec *out);
void tokens_fini(struct vec *tokens);
/* ERR_NOT_FOUND says which there are. */
MUST_USE struct err *token_delete(struct store *s, const char *name);
/* Is there any, expired ones too? */
MUST_USE struct err *tokens_exist(struct store *s, bool *out);

/* Whose text is this? *found false for one that is wrong, deleted or expired; nobody is told which. */
MUST_USE struct err *token_check(struct store *s, struct str text, struct token *out, bool *found);
/* The same by its id, for those who know that its holder had the text. */
MUST_USE struct err *token_by_id(struct store *s, const char *id, struct token *out, bool *found);
/* Note that a token was used at that time. One that is gone stays gone. */
MUST_USE struct err *token_used(struct store *s, const char *id, int64_t when);
