/* SPDX-License-Identifier: Apache-2.0 */
#include "http/module.h"

#include <dlfcn.h>

static struct err *module_open(struct module *m, void *table)
{
	void *lib = dlopen(m->file, RTLD_NOW | RTLD_LOCAL);
	if (!lib)
		return err_hint(err_new(ERR_UNSUPPORTED, "opening %s: %s", m->file, dlerror()),
			"install it: apt-get install %s", m->package);
	for (size_t i = 0; i < m->count; i++) {
		void *p = dlsym(lib, m->symbols[i].name);
		if (!p) {
			struct err *e = err_new(
				ERR_UNSUPPORTED, "%s lacks %s: it is too old", m->file, m->symbols[i].name);
			dlclose(lib);
			return err_hint(e, "install a newer %s", m->package);
		}
		*(void **)(void *)((char *)table + m->symbols[i].offset) = p;
	}
	return NULL;
}

struct err *module_load(struct module *m, void *table)
{
	if (__atomic_load_n(&m->ready, __ATOMIC_ACQUIRE))
		return NULL;
	pthread_mutex_lock(&m->lock);
	struct err *e = m->ready ? NULL : module_open(m, table);
	if (!e)
		__atomic_store_n(&m->ready, true, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&m->lock);
	return e;
}
