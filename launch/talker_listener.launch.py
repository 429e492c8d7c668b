"""
The talker of demo_nodes_cpp and the listener of demo_nodes_py, over rmw_hazcat_rs.

    ros2 launch rmw_hazcat_rs talker_listener.launch.py
    ros2 launch rmw_hazcat_rs talker_listener.launch.py talker:=demo_nodes_py listener:=demo_nodes_cpp topic:=/news
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable, TimerAction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

MIDDLEWARE = 'rmw_hazcat_rs'


def generate_launch_description():
    """Describe the two nodes."""
    topic = [('chatter', LaunchConfiguration('topic'))]
    namespace = LaunchConfiguration('namespace')
    return LaunchDescription([
        DeclareLaunchArgument('talker', default_value='demo_nodes_cpp', choices=['demo_nodes_cpp', 'demo_nodes_py'],
                              description='package of the talker'),
        DeclareLaunchArgument('listener', default_value='demo_nodes_py', choices=['demo_nodes_cpp', 'demo_nodes_py'],
                              description='package of the listener'),
        DeclareLaunchArgument('topic', default_value='chatter', description='topic that they meet on'),
        DeclareLaunchArgument('namespace', default_value='', description='namespace of both nodes'),
        DeclareLaunchArgument('talker_delay', default_value='2.0',
                              description='seconds until the talker starts: the topic is volatile, and what is said '
                                          'before the listener has started is not heard'),
        DeclareLaunchArgument('log_level', default_value='info', description='of the two nodes'),
        # For both processes, whatever the surrounding environment says; HAZCAT_LOG sets the middleware's own log.
        SetEnvironmentVariable('RMW_IMPLEMENTATION', MIDDLEWARE),
        SetEnvironmentVariable('PYTHONUNBUFFERED', '1'),
        Node(package=LaunchConfiguration('listener'), executable='listener', name='listener', namespace=namespace,
             output='screen', remappings=topic,
             arguments=['--ros-args', '--log-level', LaunchConfiguration('log_level')]),
        TimerAction(period=LaunchConfiguration('talker_delay'), actions=[
            Node(package=LaunchConfiguration('talker'), executable='talker', name='talker', namespace=namespace,
                 output='screen', remappings=topic,
                 arguments=['--ros-args', '--log-level', LaunchConfiguration('log_level')]),
        ]),
    ])
