/* Where attributes of Python's objects are found: their names, and the places of their slots. */
#include "relay.h"

RelayNames relay_names;

int relay_ready(void)
{
#define MAKE_NAME(name)                                                                         \
    if (relay_names.name == NULL)                                                                  \
        relay_names.name = PyUnicode_InternFromString(#name);                                      \
    if (relay_names.name == NULL)                                                                  \
        return -1;
    RELAY_NAMES(MAKE_NAME)
    return 0;
}

int relay_slot(PyTypeObject *type, const char *name, Py_ssize_t *at)
{
    PyObject *found = PyObject_GetAttrString((PyObject *)type, name);
    int good = 0;

    if (found == NULL)
        return -1;
    if (Py_IS_TYPE(found, &PyMemberDescr_Type)) {
        PyMemberDef *member = ((PyMemberDescrObject *)found)->d_member;

        good = member->type == T_OBJECT_EX;
        *at = member->offset;
    }
    Py_DECREF(found);
    if (!good)
        PyErr_Format(PyExc_TypeError, "%s.%s is no slot", type->tp_name, name);
    return good ? 0 : -1;
}

int relay_shapes(Shapes *at)
{
    struct {
        PyTypeObject *type;
        const char *name;
        Py_ssize_t *at;
    } wanted[] = {
        {at->ask, "local", &at->ask_local},
        {at->ask, "key", &at->ask_key},
        {at->ask, "lane", &at->ask_lane},
        {at->ask, "known", &at->ask_known},
        {at->ask, "alike", &at->ask_alike},
        {at->ask, "kept_until", &at->ask_kept_until},
        {at->entry, "expires_at", &at->entry_expires_at},
        {at->known, "positive", &at->known_positive},
        {at->known, "on_host", &at->known_on_host},
        {at->known, "off_host", &at->known_off_host},
        {at->known, "length", &at->known_length},
        {at->known, "size", &at->known_size},
        {at->known, "begin", &at->known_begin},
        {at->known, "end", &at->known_end},
        {at->known, "head", &at->known_head},
        {at->known, "tail", &at->known_tail},
        {at->known, "ordered", &at->known_ordered},
        {at->waiter, "listener", &at->listener},
        {at->waiter, "ask", &at->waiter_ask},
        {at->waiter, "client_id", &at->client_id},
        {at->waiter, "peer", &at->peer},
        {at->waiter, "upstream", &at->upstream},
        {at->waiter, "sent_at", &at->sent_at},
        {at->waiter, "others", &at->others},
        {at->waiter, "ident", &at->ident},
    };

    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        if (relay_slot(wanted[i].type, wanted[i].name, wanted[i].at) < 0)
            return -1;
    return 0;
}
