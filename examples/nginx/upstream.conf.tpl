{# The upstream `web` of nginx: all requests go to the instance on the node that holds the lock.
   While nobody holds it, all are down and nginx answers 502 at once. -#}
{% set holder = leader('service/web/leader') %}
# primary: {{ holder.node if holder else 'nobody holds service/web/leader' }}
upstream web {
{% for one in service('web', passing=false) %}
    server {{ one.host }}:{{ one.port }}{{ '' if holder and one.node == holder.node else ' down' }};
{% else %}
    server 127.0.0.1:9 down;
{% endfor %}
}
