/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a schema; as a document against a small schema, which is run if it is valid. */
#include "gql/execute.h"

#include <assert.h>
#include <string.h>

static const char sdl[] =
	"directive @d(n: Int) repeatable on FIELD | QUERY | INLINE_FRAGMENT "
	"type Query { a: Int b(i: In, l: [[Int!]!], e: E = X, id: ID, f: Float, s: String = \"d\"): String "
	"c: C! "
	"n: N u: [U!] any(x: Any): Any } "
	"interface N { id: ID! n: N } "
	"type C implements N { id: ID! n: N c: C cs: [C] x: Int! } type D implements N { id: ID! n: N d: "
	"[[E!]] } "
	"union U = C | D enum E { X Y } input In { a: Int! = 1 in: In b: [In!] e: E } scalar Any "
	"type Mutation { m: C }";

static struct err *resolve(void *ctx, const struct gql_call *call, struct gql_out *out)
{
	(void)ctx;
	const char *name = gql_field_name(call->field);
	if (strcmp(name, "a") == 0) {
		gql_out_int(out, 1);
	} else if (strcmp(name, "b") == 0) {
		gql_out_string(out, call->args[5].kind == GQL_STRING ? call->args[5].s : STR("none"));
	} else if (strcmp(name, "id") == 0) {
		gql_out_int(out, 7);
	} else if (strcmp(name, "c") == 0 || strcmp(name, "m") == 0) {
		gql_out_object(out, "C", NULL);
	} else if (strcmp(name, "n") == 0) {
		gql_out_object(out, "D", NULL);
	} else if (strcmp(name, "u") == 0 || strcmp(name, "cs") == 0) {
		struct gql_out *items = gql_out_list(out, 2);
		gql_out_object(&items[0], "C", NULL);
		gql_out_object(&items[1], "D", NULL); /* of cs: an error */
	} else if (strcmp(name, "x") == 0) {
		return err_new(ERR_INVALID, "no x");
	}
	return NULL;
}

/* Whatever was asked, the answer is JSON and holds data or errors. */
static void check_answer(const struct buf *response)
{
	json_t *answer = json_loadb(response->ptr, response->len, JSON_REJECT_DUPLICATES, NULL);
	assert(answer || response->len > 100000); /* the parser's depth is bounded, ours is not */
	assert(!answer || json_object_get(answer, "data") ||
		json_array_size(json_object_get(answer, "errors")));
	json_decref(answer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct gql_schema *s;
	if (!s && gql_schema_parse(STR(sdl), "small", &s))
		return 0;
	struct str text = str_n((const char *)data, size);
	struct gql_schema *other = NULL;
	struct err *e = gql_schema_parse(text, "input", &other);
	err_free(e);
	gql_schema_free(other);
	struct buf response AUTO_BUF = {0};
	struct gql_request rq = {.query = text};
	struct gql_limits limits = {.depth = 500, .fields = 20000, .values = 20000};
	struct gql_hooks h = {.resolve = resolve, .parallel = 1, .limits = &limits};
	e = gql_execute(s, &rq, &h, &response);
	assert(!e);
	check_answer(&response);
	return 0;
}
