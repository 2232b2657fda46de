"""The query log and dnstap: what is noted of queries, told to whoever asked for it.

Listeners hand notes over (`net.noting`) on the event loop; all that is made of them is made in
threads of their own, each with a bounded queue (`intake`) in which nothing waits for anybody.
"""
