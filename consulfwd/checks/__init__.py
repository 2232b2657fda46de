"""Checks for Icinga, Nagios and whatever else runs monitoring plugins.

What is found is judged by pure modules; those called `asked_...` find it. Form and exit codes are
those of the Monitoring Plugins guidelines: https://www.monitoring-plugins.org/doc/guidelines.html
"""
