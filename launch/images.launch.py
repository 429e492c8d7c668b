"""
A camera that publishes images from the memory of a device, and two viewers of them: one on that device, one on the host.

    ros2 launch rmw_hazcat_rs images.launch.py                  # on the simulated device
    ros2 launch rmw_hazcat_rs images.launch.py domain:=cuda:0   # on a GPU

The viewer on the device sees each image where the camera made it. For the other one it is copied to the host, once.
"""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, SetEnvironmentVariable
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue


def generate_launch_description():
    """Describe the three nodes."""
    def text(name):
        return ParameterValue(LaunchConfiguration(name), value_type=str)

    def number(name, kind=int):
        return ParameterValue(LaunchConfiguration(name), value_type=kind)

    def viewer(name, domain):
        return Node(package='rmw_hazcat_rs', executable='viewer', name=name, output='screen',
                    parameters=[{'domain': domain, 'count': number('count')}])

    return LaunchDescription([
        DeclareLaunchArgument('domain', default_value='sim:0',
                              description='memory domain of the camera and of one viewer: sim:0, cuda:0, ...'),
        DeclareLaunchArgument('count', default_value='0', description='images after which all end; 0: never'),
        DeclareLaunchArgument('rate', default_value='10.0', description='images per second'),
        # For all processes, whatever the surrounding environment says.
        SetEnvironmentVariable('RMW_IMPLEMENTATION', 'rmw_hazcat_rs'),
        # rclcpp hands subscriptions messages on loan only with this; else they are copied to the host.
        SetEnvironmentVariable('ROS_DISABLE_LOANED_MESSAGES', '0'),
        viewer('device_viewer', text('domain')),
        viewer('host_viewer', 'host'),
        Node(package='rmw_hazcat_rs', executable='camera', name='camera', output='screen',
             parameters=[{'domain': text('domain'), 'count': number('count'), 'rate': number('rate', float),
                          'wait_for': 2}]),
    ])
