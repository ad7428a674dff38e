/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Resolvers that answer from a JSON tree: a field's value is the member of its name. Special values:
 *   "$args"                        the call's arguments, as text
 *   "$count"                       how often such a value was asked for
 *   {"$error": .., "extensions"..} the field fails
 * Objects have their "__typename".
 */
#pragma once

#include "gql/execute.h"

#include <stdatomic.h>

struct fake_data {
	json_t *root;
	atomic_int count, calls;
};

struct err *fake_resolve(void *ctx, const struct gql_call *call, struct gql_out *out);
void fake_explain(void *ctx, const struct err *e, struct buf *message, json_t **extensions);
