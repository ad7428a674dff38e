/* SPDX-License-Identifier: Apache-2.0 */
/* Finding "<<NAME" words in an instruction. */
#pragma once

#include "base/arena.h"
#include "base/compiler.h"
#include "dockerfile/ast.h"

#include <stdbool.h>

/* A word that is just a heredoc start ("<<-'EOF'", "3<<EOF"). False if it is none. body and at are left
 * alone. */
bool heredoc_word(struct arena *a, const char *word, struct ast_heredoc *out);
/* Push every one in the text (struct ast_heredoc; at.column is the offset in text). */
void heredoc_find(struct arena *a, const char *text, struct vec *out);
