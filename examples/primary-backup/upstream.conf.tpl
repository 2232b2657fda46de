{# The upstream `app` of nginx: the instance on the node that holds the lock, and no other. While
   nobody holds it there is none, and nginx answers 502 at once. -#}
{% set holder = leader('service/app/leader') %}
# active: {{ holder.node if holder else 'nobody holds service/app/leader' }}
upstream app {
{% for one in service('app', passing=false) if holder and one.node == holder.node %}
    server {{ one.host }}:{{ one.port }};
{% else %}
    server 127.0.0.1:9 down;
{% endfor %}
}
