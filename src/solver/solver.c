/* SPDX-License-Identifier: Apache-2.0 */
#include "solver/solver.h"

#include "base/mem.h"
#include "solver/solve_internal.h"

static struct str pointer_key(const struct node *const *n)
{
	return str_n((const char *)n, sizeof(*n));
}

struct task *solve_task(const struct solve_result *r, const struct node *n)
{
	return map_get(r->index, pointer_key(&n));
}

bool task_is_source(const struct task *t)
{
	return op_is_source(node_op(t->out.node)->kind);
}

bool input_is_read_in_place(const struct node *n, size_t i)
{
	const struct node *in = node_input(n, i);

	return in && node_op(in)->kind == OP_LOCAL && node_op(n)->kind == OP_FILE;
}

/* A helper of an instruction shows itself when it fails: somebody has to know which one. */
static bool is_shown(const struct node_label *label, enum event_type type)
{
	return !label->hidden || (type == EVENT_FAILED && label->where.line);
}

void task_emit(const struct solve *s, const struct task *t, struct event e)
{
	const struct node_label *label = node_label(t->out.node);
	char digest[DIGEST_TEXT_MAX];

	if (!is_shown(label, e.type))
		return;
	e.step = node_number(t->out.node);
	e.name = label->name;
	e.where = label->where;
	e.digest = digest_text(node_digest(t->out.node), digest);
	event_emit(s->opt->events, e);
}

struct err *task_failed(const struct solve *s, const struct task *t, struct err *e, int64_t took)
{
	const struct node_label *label = node_label(t->out.node);
	AUTO_FREE char *text = err_text(e);
	struct event failed = {.type = EVENT_FAILED, .text = str_c(text), .duration = took};

	if (err_kind(e) == ERR_CANCELED)
		failed.type = EVENT_CANCELED;
	failed.exit_code = err_exit_code(e);
	task_emit(s, t, failed);
	if (failed.type == EVENT_CANCELED || !is_shown(label, failed.type))
		return e;
	if (label->where.file)
		return err_wrap(e, "%s:%u: %s", label->where.file, label->where.line, label->name);
	return err_wrap(e, "%s", label->name);
}

struct step_io task_io(const struct solve *s, const struct task *t)
{
	return (struct step_io){node_number(t->out.node), s->opt->events, s->cancel};
}

/* Depth first, so that a node's inputs stand before it. Recursion is bounded by the graph's own making, but a
 * hostile file could make it deep: the stack is ours. */
static void collect_nodes(struct node *const *targets, size_t count, struct vec *order, struct map *seen)
{
	struct frame {
		const struct node *node;
		size_t next;
	};
	struct vec stack = VEC_OF(struct frame);

	for (size_t i = 0; i < count; i++) {
		if (!targets[i] || map_has(seen, pointer_key((const struct node *const *)&targets[i])))
			continue;
		map_set(seen, pointer_key((const struct node *const *)&targets[i]), order);
		vec_push_copy(&stack, &(struct frame){targets[i], 0});
		while (stack.len) {
			struct frame *top = vec_at(&stack, stack.len - 1);
			if (top->next == node_input_count(top->node)) {
				vec_push_copy(order, &top->node);
				vec_remove(&stack, stack.len - 1);
				continue;
			}
			const struct node *in = node_input(top->node, top->next++);
			if (!in || map_has(seen, pointer_key(&in)))
				continue;
			map_set(seen, pointer_key(&in), order);
			vec_push_copy(&stack, &(struct frame){in, 0});
		}
	}
	vec_fini(&stack);
}

static struct solve_result *result_new(struct node *const *targets, size_t count)
{
	struct solve_result *r = mem_new(struct solve_result);
	struct vec order = VEC_OF(const struct node *);
	AUTO(map_freep) struct map *seen = map_new(NULL);

	collect_nodes(targets, count, &order, seen);
	r->count = order.len;
	r->tasks = mem_array(order.len + 1, sizeof(*r->tasks));
	r->index = map_new(NULL);
	for (size_t i = 0; i < order.len; i++) {
		struct task *t = &r->tasks[i];
		t->out.node = *(const struct node **)vec_at(&order, i);
		t->users = VEC_OF(struct task *);
		map_set(r->index, pointer_key(&t->out.node), t);
	}
	vec_fini(&order);
	return r;
}

void solve_result_free(struct solve_result *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->count; i++) {
		struct task *t = &r->tasks[i];
		snapshot_fini(&t->out.snapshot);
		source_pin_fini(&t->out.pin);
		vec_fini(&t->users);
	}
	map_free(r->index);
	mem_freep(&r->tasks);
	mem_freep(&r);
}

void solve_result_freep(struct solve_result **r)
{
	solve_result_free(*r);
	*r = NULL;
}

const struct solved_node *solve_result_node(const struct solve_result *r, const struct node *n)
{
	struct task *t = n ? solve_task(r, n) : NULL;

	return t ? &t->out : NULL;
}

const struct solved_node *solve_result_at(const struct solve_result *r, size_t i)
{
	return i < r->count ? &r->tasks[i].out : NULL;
}

struct err *solve(struct store *store, struct executor *ex, struct node *const *targets, size_t target_count,
	const struct solve_options *opt, struct solve_result **out)
{
	AUTO(cancel_freep) struct cancel *cancel = cancel_new();
	AUTO(solve_result_freep) struct solve_result *result = result_new(targets, target_count);
	struct solve s = {.store = store, .ex = ex, .opt = opt, .result = result, .cancel = cancel};

	TRY(cancel_check(opt->cancel));
	pthread_mutex_init(&s.lock, NULL);
	pthread_cond_init(&s.wake, NULL);
	struct err *e = solve_plan(&s, targets, target_count);
	if (!e && s.ready + s.waiting > 0)
		e = solve_schedule(&s);
	pthread_cond_destroy(&s.wake);
	pthread_mutex_destroy(&s.lock);
	if (e)
		return e;
	*out = steal(&result);
	return NULL;
}
